"""The config's record; data sets into stores, sources into checked safetensors files."""


localrules:
    config,


# Every job reads this file, through ancient(): that it is rewritten re-runs nothing. What
# must re-run a job stands in the job's own params.
rule config:
    output:
        CONFIG,
    log:
        LOGS / "config.log",
    conda:
        "../../environment.yml"
    params:
        content=json.dumps(study.content),
    message:
        "record the config in {output}"
    shell:
        "gta config --content {params.content:q} --out {output} > {log} 2>&1"


rule data:
    input:
        config=ancient(CONFIG),
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
        "gta data prepare {wildcards.dataset} --config {input.config} > {log} 2>&1"


rule source:
    input:
        config=ancient(CONFIG),
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
        "gta source prepare {wildcards.source} --config {input.config} > {log} 2>&1"
