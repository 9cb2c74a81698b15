"""Side-by-side measurements: `python -m benchmarks`. docs/performance.md has the results."""
