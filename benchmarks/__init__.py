"""Benchmarks of this package and its peers: `python -m benchmarks`. docs/performance.md has the results."""
