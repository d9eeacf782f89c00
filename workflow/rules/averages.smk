"""Averages of finished runs' weights, tested."""

if runs_of_kind("interpolation"):

    rule averages:
        input:
            # The weights of a run exist once its metrics do.
            parts=after_choice(partial(runs_of_kind, "interpolation")),
            stores=stores_of(runs_of_kind("interpolation")),
        output:
            AVERAGES,
        log:
            LOGS / "averages.log",
        conda:
            "../envs/gta.yaml"
        threads: workflow.cores
        resources:
            gpu=1,
            runtime=averages_minutes,
            mem_mb=lambda wildcards, attempt: 12000 * attempt,
        params:
            config=CONFIG,
        message:
            "test averages of finished runs' weights"
        shell:
            "gta averages --config {params.config:q} > {log:q} 2>&1"
