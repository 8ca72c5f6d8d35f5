"""Measurements of Glubina against PyTorch on the same machine: `python -m benchmarks`."""
