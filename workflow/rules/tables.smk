"""The collected metrics, intervals of the gains, and the tables."""


# Seconds of reading: on a cluster done where Snakemake runs, not as a job.
localrules:
    collect,


if study.tuning is not None:

    # The runs that follow from the choice are planned once it is made.
    checkpoint choose:
        input:
            parts=[study.run_files(run).metrics for run in study.tuning.deciding],
            outdated=mark_of_choice(study),
        output:
            CHOSEN,
        log:
            LOGS / "choose.log",
        retries: 0
        localrule: True
        conda:
            "../envs/gta.yaml"
        params:
            config=CONFIG,
            seeds=study.config.tune.seeds,
        message:
            "choose lambda on the seeds {params.seeds}"
        shell:
            "gta choose --config {params.config:q} > {log:q} 2>&1"


rule collect:
    input:
        parts=after_choice(lambda study: study.runs),
        outdated=mark_of_collected(study),
    output:
        METRICS,
    log:
        LOGS / "collect.log",
    # Another try would be no use: results that it found damaged are missing then.
    retries: 0
    conda:
        "../envs/gta.yaml"
    params:
        config=CONFIG,
        digests=sorted({study.digest(run) for run in study.runs}),
    message:
        "collect the metrics of all runs"
    shell:
        "gta collect --config {params.config:q} > {log:q} 2>&1"


rule intervals:
    input:
        METRICS,
    output:
        # Kept while the job runs: it takes from the old file what is still valid.
        update(INTERVALS),
    log:
        LOGS / "intervals.log",
    conda:
        "../envs/gta.yaml"
    params:
        config=CONFIG,
        method="two-way random effects",  # files of another method are made again
    message:
        "compute intervals of the gains"
    shell:
        "gta intervals --config {params.config:q} > {log:q} 2>&1"


# One job for all tables that can begin at the same time: importing pandas takes longer than making
# a table. Any of their files is a target.
for last, names in TABLES_OF.items():

    rule:
        name:
            f"tables_of_{last}"
        input:
            inputs_of(names),
        output:
            expand(
                study.folder / "tables" / "{table}.{format}",
                table=names,
                format=[format for format in TABLE_FORMATS if format != "html"],
            ),
            [
                report(
                    study.folder / "tables" / f"{name}.html",
                    caption="../report/table.rst",
                    category="Tables",
                    labels={"table": name, "shows": study.tables[name].caption},
                )
                for name in names
            ],
        log:
            LOGS / "tables" / f"{last}.log",
        localrule: True
        conda:
            "../envs/gta.yaml"
        params:
            config=CONFIG,
            tables=names,
            settings=[study.shown_by(name) for name in names],
        message:
            "{params.tables}"
        shell:
            "gta table {params.tables:q} --write --config {params.config:q} > {log:q} 2>&1"
