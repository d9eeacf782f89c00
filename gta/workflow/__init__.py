"""What the Snakefile and the profiles call."""
