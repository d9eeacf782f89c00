"""One file a measurement: ``REPEATS`` and ``measure(repeats)``, which gives rows of the table.

``SLOW`` says how long one takes that is measured only when it is named or with ``--slow``;
``EACH_PROCESSOR`` marks one that is made for every kind of processor at hand.
"""
