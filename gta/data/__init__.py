"""Datasets: rendering and reading, the prepared store, splits, batches, augmentation."""
