"""Masks from attention, and the figures."""


rule segmentation:
    input:
        # A run's weights lie there once its metrics do.
        parts=[
            study.path("metrics", run)
            for run in study.runs
            if study.keeps_weights(run)
        ],
        stores=STORES,
        weights=study.weights(study.config.sources["main"]),
    output:
        study.folder / "segmentation.parquet",
    log:
        LOGS / "segmentation.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores or 8  # a cluster's profile gives none
    params:
        config=CONFIG,
    message:
        "compare masks from attention with the objects"
    shell:
        "gta segmentation --config {params.config} > {log} 2>&1"


rule figure:
    input:
        figure_inputs,
    output:
        pdf=study.folder / "figures" / "{figure}.pdf",
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
        spec=lambda wildcards: study.figures[wildcards.figure].model_dump(mode="json"),
        caption=lambda wildcards: study.figures[wildcards.figure].caption,
    message:
        "{wildcards.figure}"
    shell:
        "gta figure {wildcards.figure} --config {params.config} > {log} 2>&1"
