"""Catalog of mixes, sources, datasets and architectures, as data (no torch here)."""

from gta.catalog.accelerators import ACCELERATORS, UTILISATION, AcceleratorInfo
from gta.catalog.architectures import (
    ARCHITECTURES,
    ArchitectureInfo,
    find_architecture,
    timm_names,
)
from gta.catalog.archives import Archive, Form
from gta.catalog.corruptions import CORRUPTIONS
from gta.catalog.datasets import (
    DATASETS,
    READER_VERSION,
    RENDERER_VERSION,
    STORE_FORMAT,
    Counts,
    DatasetInfo,
    Drawn,
)
from gta.catalog.mixes import MIXES
from gta.catalog.protocols import PROTOCOLS, Protocol
from gta.catalog.sources import SOURCES, SourceInfo
from gta.catalog.split_lists import BSS_LISTS

__all__ = [
    "ACCELERATORS",
    "ARCHITECTURES",
    "BSS_LISTS",
    "CORRUPTIONS",
    "DATASETS",
    "MIXES",
    "PROTOCOLS",
    "READER_VERSION",
    "RENDERER_VERSION",
    "SOURCES",
    "STORE_FORMAT",
    "UTILISATION",
    "AcceleratorInfo",
    "ArchitectureInfo",
    "Archive",
    "Counts",
    "DatasetInfo",
    "Drawn",
    "Form",
    "Protocol",
    "SourceInfo",
    "find_architecture",
    "timm_names",
]
