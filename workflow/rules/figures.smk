"""Masks from attention, and the figures."""

if runs_of_kind("segmentation"):

    rule segmentation:
        input:
            # The weights of a run exist once its metrics do.
            parts=after_choice(partial(runs_of_kind, "segmentation")),
            metrics=METRICS if study.config.segmentation.lambdas == "chosen" else [],
            stores=mask_stores(runs_of_kind("segmentation")),
            weights=weights_of(runs_of_kind("segmentation")),
        output:
            MASKS,
        log:
            LOGS / "segmentation.log",
        conda:
            "../envs/gta.yaml"
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
            "gta segmentation --config {params.config:q} > {log:q} 2>&1"


# One job for all figures that can begin at the same time: importing PyTorch takes longer than
# drawing. Any of their files is a target.
for last, names in FIGURES_OF.items():

    rule:
        name:
            f"figures_of_{last}"
        input:
            inputs_of(names),
        output:
            expand(
                study.folder / "figures" / "{figure}.{format}",
                figure=names,
                format=[format for format in FIGURE_FORMATS if format != "png"],
            ),
            [
                report(
                    study.folder / "figures" / f"{name}.png",
                    caption="../report/figure.rst",
                    category="Figures",
                    labels={"figure": name, "shows": study.figures[name].caption},
                )
                for name in names
            ],
        log:
            LOGS / "figures" / f"{last}.log",
        conda:
            "../envs/gta.yaml"
        params:
            config=CONFIG,
            figures=names,
            settings=[study.shown_by(name) for name in names],
        message:
            "{params.figures}"
        shell:
            "gta figure {params.figures:q} --config {params.config:q} > {log:q} 2>&1"
