"""Benchmarks: each file is one runnable bench; `python -m benchmarks` runs them all."""
