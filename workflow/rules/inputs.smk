"""Data sets into stores, sources into checked safetensors files.

Studies share both, so the study's own config path stands in the command and not in params,
where another study's would make them anew.
"""


rule data:
    output:
        study.store_root / "{dataset}-{key}" / "store.json",
    log:
        LOGS / "data" / "{dataset}-{key}.log",
    wildcard_constraints:
        dataset=one_of(study.config.datasets),
        key="[0-9a-f]{12}",
    conda:
        "../../environment.yml"
    message:
        "prepare the data set {wildcards.dataset}"
    shell:
        f"gta data prepare {{wildcards.dataset}} --config {CONFIG} > {{log}} 2>&1"


rule source:
    output:
        study.weights_root / "{source}.safetensors",
    log:
        LOGS / "sources" / "{source}.log",
    wildcard_constraints:
        source=one_of(study.config.sources.values()),
    conda:
        "../../environment.yml"
    message:
        "prepare the source {wildcards.source}"
    shell:
        f"gta source prepare {{wildcards.source}} --config {CONFIG} > {{log}} 2>&1"
