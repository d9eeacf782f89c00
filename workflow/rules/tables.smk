"""The collected metrics, intervals of the gains, and the tables."""


# Seconds of reading: on a cluster done where Snakemake runs, not as jobs.
localrules:
    collect,
    table,


rule collect:
    input:
        parts=[study.path("metrics", run) for run in study.runs],
    output:
        METRICS,
    log:
        LOGS / "collect.log",
    # Again would be no use: results that it found damaged are missing then.
    retries: 0
    conda:
        "../../environment.yml"
    params:
        config=CONFIG,
    message:
        "collect the metrics of all runs"
    shell:
        "gta collect --config {params.config} > {log} 2>&1"


rule intervals:
    input:
        METRICS,
    output:
        # Kept while the job runs: it takes from the old file what nothing has changed for.
        update(INTERVALS),
    log:
        LOGS / "intervals.log",
    conda:
        "../../environment.yml"
    params:
        config=CONFIG,
        method="two-way random effects",  # files of another method are made again
    message:
        "compute intervals of the gains"
    shell:
        "gta intervals --config {params.config} > {log} 2>&1"


rule table:
    input:
        inputs_of,
    output:
        multiext(str(study.folder / "tables" / "{table}"), ".csv", ".md", ".tex"),
        html=report(
            study.folder / "tables" / "{table}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
    log:
        LOGS / "tables" / "{table}.log",
    wildcard_constraints:
        table=one_of(study.tables),
    conda:
        "../../environment.yml"
    params:
        config=CONFIG,
        spec=shown_by,
        caption=lambda wildcards: study.tables[wildcards.table].caption,
    message:
        "{wildcards.table}"
    shell:
        "gta table {wildcards.table} --write --config {params.config} > {log} 2>&1"
