"""Writers of the generated pages under docs/; ``python -m docs.make NAME`` writes one."""
