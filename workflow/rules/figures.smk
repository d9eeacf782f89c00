"""Masks from attention, and the figures."""


rule segmentation:
    input:
        # A run's weights lie there once its metrics do.
        parts=[
            study.path("metrics", run)
            for run in study.runs
            if study.keeps_weights(run)
        ],
        metrics=METRICS if study.config.segmentation.lambdas == "chosen" else [],
        stores=MASK_STORES,
        weights=study.weights(study.config.sources["main"]),
    output:
        study.folder / "segmentation.parquet",
    log:
        LOGS / "segmentation.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
        runtime=segmentation_minutes,
        # the images of VOC 2012 at 480 and 512 pixels, a model, PyTorch with CUDA
        mem_mb=lambda wildcards, attempt: 12000 * attempt,
    params:
        config=CONFIG,
        settings=study.config.segmentation.model_dump(mode="json"),
    message:
        "compare masks from attention with the objects"
    shell:
        "gta segmentation --config {params.config} > {log} 2>&1"


rule figure:
    input:
        inputs_of,
    output:
        multiext(str(study.folder / "figures" / "{figure}"), ".pdf", ".svg", ".csv"),
        png=report(
            study.folder / "figures" / "{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        LOGS / "figures" / "{figure}.log",
    wildcard_constraints:
        figure=one_of(study.figures),
    conda:
        "../../environment.yml"
    params:
        config=CONFIG,
        settings=shown_by,
        caption=lambda wildcards: study.figures[wildcards.figure].caption,
    message:
        "{wildcards.figure}"
    shell:
        "gta figure {wildcards.figure} --config {params.config} > {log} 2>&1"
