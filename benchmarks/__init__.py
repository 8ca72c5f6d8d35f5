"""Measurements of Glubina against its peers on the same machine: `python -m benchmarks`."""
