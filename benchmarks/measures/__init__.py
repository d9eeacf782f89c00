"""One file a measurement: ``REPEATS`` and ``measure(repeats)``, which gives rows of the table."""
