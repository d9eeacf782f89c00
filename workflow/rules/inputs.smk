"""Datasets into stores, sources into checked safetensors files.

Studies share both. The study's own config path therefore stands in the command and not among the
params, where the path of another study would make them anew.
"""

CONFIG_OPTION = f"--config {shlex.quote(str(CONFIG))}"


rule fetch:
    output:
        study.store_root / "archives" / "{dataset}.json",
    log:
        LOGS / "archives" / "{dataset}.log",
    wildcard_constraints:
        dataset=one_of(FETCHED),
    conda:
        "../envs/gta.yaml"
    message:
        "check the archives of {wildcards.dataset}, fetch what is missing"
    shell:
        f"gta data fetch {{wildcards.dataset:q}} {CONFIG_OPTION} > {{log:q}} 2>&1"


rule data:
    input:
        archives_of,
        files_of,
    output:
        # kept where it is still valid
        update(study.store_root / "{dataset}-{key}" / "store.json"),
    log:
        LOGS / "data" / "{dataset}-{key}.log",
    wildcard_constraints:
        dataset=one_of(DATASETS),
        key="[0-9a-f]{12}",
    conda:
        "../envs/gta.yaml"
    threads: workflow.cores or 1
    message:
        "prepare the dataset {wildcards.dataset}"
    shell:
        f"gta data prepare {{wildcards.dataset:q}} {CONFIG_OPTION} > {{log:q}} 2>&1"


rule source:
    input:
        file_of,
    output:
        study.store_root / "sources" / "{source}-{key}.safetensors",
    log:
        LOGS / "sources" / "{source}-{key}.log",
    wildcard_constraints:
        source=one_of(study.config.sources.values()),
        key="[0-9a-f]{12}",
    conda:
        "../envs/gta.yaml"
    message:
        "prepare the source {wildcards.source}"
    shell:
        f"gta source prepare {{wildcards.source:q}} {CONFIG_OPTION} > {{log:q}} 2>&1"
