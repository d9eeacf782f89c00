"""``python -m gta``: the command line."""

from gta.cli import main

main()
