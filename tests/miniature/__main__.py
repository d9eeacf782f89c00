"""Builds the folder in which the paper's study runs in miniature.

python -m tests.miniature FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.miniature.build import build

parser = argparse.ArgumentParser(prog="python -m tests.miniature")
parser.add_argument("folder", type=Path, help="a new one")
overlay = build(parser.parse_args().folder)
print(f"cd {overlay.parent} && snakemake --configfile config/paper.yaml {overlay.name}")
