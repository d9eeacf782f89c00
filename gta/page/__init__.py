"""The results page: all of a study's results in one file, to look into without a network."""

from gta.page.build import build, write

__all__ = ["build", "write"]
