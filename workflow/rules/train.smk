"""Training: one job a pack of runs (config key `pack`), one rule a shape of pack.

An output under update() is neither deleted before its job runs nor lost when the job fails; the
job itself leaves valid results alone. What makes a result stale is in the digests.
"""

for rule_name, group in TRAINING.items():

    rule:
        name:
            rule_name
        input:
            training_inputs,
        output:
            [
                update(study.folder / "metrics" / run / "part.parquet")
                for run in group.outputs
            ],
        log:
            LOGS / "train" / f"{group.name}.log",
        wildcard_constraints:
            **{field: one_of(values) for field, values in group.wildcards.items()},
        conda:
            "../envs/gta.yaml"
        threads: study.config.threads
        resources:
            gpu=1,
            runtime=training_minutes,
            mem_mb=training_memory,
        params:
            config=CONFIG,
            pack=group.name,
            digests=digests_of,
        message:
            "train the runs of {params.pack}"
        # exec: a warning from the scheduler must reach the training itself. A shell would die of
        # it at once, and the job's last seconds would be lost.
        shell:
            "exec gta train --config {params.config:q} --pack {params.pack:q} --threads {threads}"
            " > {log:q} 2>&1"
