"""What figures hold for: the machine, the versions, the state of the code."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "torchvision", "timm", "pillow", "numpy", "pandas", "pyarrow", "snakemake")
SHARED = ": other programs shared the machine; wall clock means little then, CPU time some"


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def describe() -> dict[str, str]:
    """Hardware, versions and commit, by their names."""
    import torch

    load = os.getloadavg()[0]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    about = {
        "CPU": f"{_cpu()}, {cores()} cores, {memory:.0f} GiB",
        "CPU extensions": torch.backends.cpu.get_cpu_capability(),
        "GPU": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
        "Load before": f"{load:.1f}{SHARED if load > 1 else ''}",
        "System": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
    return about | {name: _version(name) for name in PACKAGES} | {"Commit": _commit()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _commit() -> str:
    if given := os.environ.get("GTA_COMMIT"):
        return given
    if shutil.which("git") is None:
        return "unknown"
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"
