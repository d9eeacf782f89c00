"""How fast it is: ratios of two ways of doing the same, measured in turn on one machine.

    python -m benchmarks              everything; writes results/bench.json, docs/performance.md
    python -m benchmarks input step   these alone; prints, writes nothing

A measurement is a file in ``benchmarks/measures``.
"""
