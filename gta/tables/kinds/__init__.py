"""The kinds of table: one file each."""
