"""``python -m benchmarks gpu``: tests and measurements of training on a GPU, in minutes."""
