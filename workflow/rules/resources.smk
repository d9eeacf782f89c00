"""Resources of the jobs that use a GPU, from the study; a retry asks for more.

A profile's `set-resources` and `set-threads` override it; what they say of `train` holds for every
training rule. Locally only `gpu` counts, where the profile limits it.
"""

from math import ceil

from gta.workflow.options import for_family

# The training rules by name: one a shape of pack, so their number depends on the study.
TRAINING = {f"train_{number}": group for number, group in enumerate(study.jobs.groups)}
# Snakemake reads these once, when the first rule is defined.
for option in ("overwrite_threads", "overwrite_resources"):
    given = getattr(workflow.resource_settings, option)
    setattr(workflow.resource_settings, option, for_family(given, "train", TRAINING))

# Training images a second at 224 pixels on the slowest GPU to allow for: a guess on the safe side,
# not measured. It only sets a time limit.
IMAGES_PER_SECOND = 150
# For reading, loading, testing and writing.
MINUTES_A_JOB = 30
# Partitions seldom allow more. A job that needs longer saves its checkpoint when it is warned, and
# its next attempt goes on from there.
MOST_MINUTES = 24 * 60
# PyTorch with CUDA, two Snakemake processes.
MEMORY_MB_A_JOB = 6000
# Batches of float32 images in the host's memory at a time.
BATCHES = 8


def training_minutes(wildcards, attempt):
    """Time limit of a pack, in minutes."""
    recipes = [study.recipe(run) for run in study.pack(wildcards).runs]
    seconds = sum(
        recipe.iterations
        * recipe.batch_size
        * (recipe.image_size / 224) ** 2
        / IMAGES_PER_SECOND
        for recipe in recipes
    )
    return min(MOST_MINUTES, ceil(MINUTES_A_JOB + seconds / 60) * attempt)


def training_memory(wildcards, attempt):
    """Memory of a pack on its host, in MB."""
    largest = max(
        recipe.batch_size * recipe.image_size**2 * 3 * 4 / 1e6
        for recipe in map(study.recipe, study.pack(wildcards).runs)
    )
    return ceil(MEMORY_MB_A_JOB + BATCHES * largest) * attempt


def robustness_minutes(wildcards, attempt):
    """Time limit, in minutes; runs that are measured are kept for the next attempt."""
    settings, size = study.config.robustness, study.config.recipe.image_size
    images = settings.images or 10_000  # no dataset of the paper has more test images
    passes = len(settings.views) * len(runs_of_kind("robustness"))
    passes += 20 * len(
        runs_of_kind("backdoor")
    )  # forward, backward, and again when blocked
    seconds = passes * images * (size / 224) ** 2 / IMAGES_PER_SECOND
    return min(MOST_MINUTES, ceil(MINUTES_A_JOB + seconds / 60) * attempt)


def averages_minutes(wildcards, attempt):
    """Time limit, in minutes; cells that are measured are kept for the next attempt."""
    size = study.config.recipe.image_size
    passes = 2 * 11 * len(runs_of_kind("interpolation"))  # test and held-out images
    seconds = passes * 10_000 * (size / 224) ** 2 / IMAGES_PER_SECOND
    return min(MOST_MINUTES, ceil(MINUTES_A_JOB + seconds / 60) * attempt)


def segmentation_minutes(wildcards, attempt):
    """Time limit, in minutes; a job that runs out of it leaves what it measured to the next."""
    protocols, size = study.config.segmentation.measured, study.config.recipe.image_size
    passes = {protocol.size or size for protocol in protocols} if MASKS_OF else {size}
    images = 1449  # of VOC 2012; no other dataset with masks has nearly as many pixels
    models = len(runs_of_kind("segmentation"))
    seconds = (
        sum((side / 224) ** 2 for side in passes) * images * models / IMAGES_PER_SECOND
    )
    return ceil(MINUTES_A_JOB + seconds / 60) * attempt
