"""The kinds of tables, a file each; ``TableKind`` says how to write one. No pandas here."""

from gta.tables.kinds.base import TableKind

__all__ = ["TableKind"]
