"""The notebooks as pages; made only where they are asked for: `snakemake notebooks`."""

from gta.project import shared

# The project's own, else those of the package.
NOTEBOOKS = Path("notebooks") if Path("notebooks").is_dir() else shared("notebooks")


rule notebooks:
    input:
        expand(
            study.folder / "notebooks" / "{notebook}.html",
            notebook=sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")),
        ),


rule notebook:
    input:
        # The notebooks read what the tables are made of, and leave out what a study lacks.
        expand(study.folder / "tables" / "{table}.csv", table=study.tables),
        METRICS,
        stores_of(study.runs),
        weights_of(study.runs),
        notebook=NOTEBOOKS / "{notebook}.ipynb",
    output:
        study.folder / "notebooks" / "{notebook}.html",
    log:
        LOGS / "notebooks" / "{notebook}.log",
    conda:
        "../envs/gta.yaml"
    params:
        config=CONFIG,
    message:
        "notebook {wildcards.notebook}"
    shell:
        "gta notebook {input.notebook:q} --config {params.config:q} > {log:q} 2>&1"
