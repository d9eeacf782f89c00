"""Models and results taken out of a study: for timm, ONNX, archives and experiment trackers."""

from gta.export.archive import import_archive, write_archive
from gta.export.model import export_model, load_exported
from gta.export.trackers import TARGETS, export_study

__all__ = [
    "TARGETS",
    "export_model",
    "export_study",
    "import_archive",
    "load_exported",
    "write_archive",
]
