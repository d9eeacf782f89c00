"""Functions that the Snakefile and the profiles call."""
