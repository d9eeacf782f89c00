"""Data sets: rendering and reading, the prepared store, splits, batches, augmentation."""
