"""Data sets into stores, sources into checked safetensors files.

Studies share both, so the study's own config path stands in the command and not in params,
where another study's would make them anew.
"""


rule fetch:
    output:
        study.store_root / "archives" / "{dataset}.json",
    log:
        LOGS / "archives" / "{dataset}.log",
    wildcard_constraints:
        dataset=one_of(FETCHED),
    conda:
        "../../environment.yml"
    message:
        "check the archives of {wildcards.dataset}, fetch what is not there"
    shell:
        f"gta data fetch {{wildcards.dataset}} --config {CONFIG} > {{log}} 2>&1"


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
        "../../environment.yml"
    threads: workflow.cores or 1
    message:
        "prepare the data set {wildcards.dataset}"
    shell:
        f"gta data prepare {{wildcards.dataset}} --config {CONFIG} > {{log}} 2>&1"


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
        "../../environment.yml"
    message:
        "prepare the source {wildcards.source}"
    shell:
        f"gta source prepare {{wildcards.source}} --config {CONFIG} > {{log}} 2>&1"
