"""Batches of images: augmentation, sampling and loading."""
