"""Side-by-side measurements: `python -m benchmarks`. See docs/performance.md for what they say."""
