"""Finished runs on corrupted test images, and on images with a backdoor's trigger."""

if runs_of_kind("robustness"):

    rule robustness:
        input:
            # The weights of a run exist once its metrics do.
            parts=after_choice(partial(runs_of_kind, "robustness")),
            stores=stores_of(runs_of_kind("robustness")),
        output:
            ROBUSTNESS,
        log:
            LOGS / "robustness.log",
        conda:
            "../envs/gta.yaml"
        threads: workflow.cores
        resources:
            gpu=1,
            runtime=robustness_minutes,
            mem_mb=lambda wildcards, attempt: 12000 * attempt,
        params:
            config=CONFIG,
            settings=study.config.robustness.model_dump(mode="json"),
        message:
            "test finished runs on corrupted images"
        shell:
            "gta robustness --config {params.config:q} > {log:q} 2>&1"


if runs_of_kind("backdoor"):

    rule backdoor:
        input:
            # The weights of a run exist once its metrics do.
            parts=after_choice(partial(runs_of_kind, "backdoor")),
            stores=stores_of(runs_of_kind("backdoor")),
        output:
            BACKDOOR,
        log:
            LOGS / "backdoor.log",
        conda:
            "../envs/gta.yaml"
        threads: workflow.cores
        resources:
            gpu=1,
            runtime=robustness_minutes,
            mem_mb=lambda wildcards, attempt: 12000 * attempt,
        params:
            config=CONFIG,
            images=study.config.robustness.images,
        message:
            "test finished runs on images with a trigger"
        shell:
            "gta backdoor --config {params.config:q} > {log:q} 2>&1"
