"""Training: one job a pack of runs (config key `pack`), one rule a shape of pack.

An output under update() is neither deleted before its job runs nor lost when it fails; the
job itself leaves valid results alone. What makes a result stale is in the digests.
"""


include: "resources.smk"


for number, group in enumerate(study.pack_groups):

    rule:
        name:
            f"train_{number}"
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
            "../../environment.yml"
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
        # exec: a warning from the scheduler must find the training itself, not a shell that dies
        # of it and takes the job's last seconds away.
        shell:
            "exec gta train --config {params.config} --pack {params.pack} --threads {threads}"
            " > {log} 2>&1"
