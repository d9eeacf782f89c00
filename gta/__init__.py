"""Guided Transfer of Spatial Attention: the study of arXiv 2401.02656 as a pipeline."""

__version__ = "0.1.0"
