"""The results page: all of it in one file."""


# Seconds of reading: on a cluster done where Snakemake runs, not as a job.
localrules:
    page,


rule page:
    input:
        METRICS,
        # It makes the tables again; that their files are there says that it can.
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
        "../../environment.yml"
    params:
        config=CONFIG,
    message:
        "the results page"
    shell:
        "gta page --config {params.config} > {log} 2>&1"
