"""Print the lowest version that pyproject.toml admits of each light dependency, one a line.

What pulls PyTorch along, or must suit its release, is left as it is installed.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

HEAVY = {"torch", "torchvision", "timm"}

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
for line in project["dependencies"]:
    name, version = re.match(r"([\w-]+)>=([\d.]+)", line).groups()
    if name not in HEAVY:
        print(f"{name}=={version}")
