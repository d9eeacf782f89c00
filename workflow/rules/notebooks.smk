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
        # What they show besides is behind the tables; they leave out what a study has not.
        expand(study.folder / "tables" / "{table}.csv", table=study.tables),
        METRICS,
        STORES,
        WEIGHTS.values(),
        notebook=NOTEBOOKS / "{notebook}.ipynb",
    output:
        study.folder / "notebooks" / "{notebook}.html",
    log:
        LOGS / "notebooks" / "{notebook}.log",
    conda:
        "../../environment.yml"
    params:
        config=CONFIG,
    message:
        "notebook {wildcards.notebook}"
    shell:
        "gta notebook {input.notebook} --config {params.config} > {log} 2>&1"
