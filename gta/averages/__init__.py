"""Averages of trained weights: between the linear probe and a run, and over the seeds of a head."""

from gta.averages.measure import AVERAGES, measure_averages, write
from gta.averages.weights import interpolate, soup

__all__ = ["AVERAGES", "interpolate", "measure_averages", "soup", "write"]
