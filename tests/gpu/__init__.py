"""Training and testing on a GPU, held against the CPU; skipped where there is none."""
