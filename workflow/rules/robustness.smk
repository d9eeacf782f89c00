"""Finished runs on corrupted test images."""


rule robustness:
    input:
        # A run's weights lie there once its metrics do.
        parts=[
            study.path("metrics", run)
            for run in study.runs
            if study.keeps_weights(run)
        ],
        stores=STORES,
    output:
        study.folder / "robustness.parquet",
    log:
        LOGS / "robustness.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
        runtime=robustness_minutes,
        mem_mb=lambda wildcards, attempt: 12000 * attempt,
    params:
        config=CONFIG,
        settings=study.config.robustness.model_dump(mode="json"),
    message:
        "test finished runs on corrupted images"
    shell:
        "gta robustness --config {params.config} > {log} 2>&1"
