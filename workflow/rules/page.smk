"""The results page: one file with all results."""


# Seconds of reading: on a cluster done where Snakemake runs, not as a job.
localrules:
    page,


rule page:
    input:
        METRICS,
        # The page makes the tables again; their files show that they can be made.
        tables=expand(
            study.folder / "tables" / "{table}.{format}",
            table=study.tables,
            format=["csv", "md"],
        ),
        figures=expand(study.folder / "figures" / "{figure}.png", figure=study.figures),
    output:
        study.folder / "index.html",
    log:
        LOGS / "page.log",
    conda:
        "../envs/gta.yaml"
    params:
        config=CONFIG,
    message:
        "the results page"
    shell:
        "gta page --config {params.config:q} > {log:q} 2>&1"
