"""Every performance figure the README quotes, each beside its peer in one run: `python -m benchmarks`."""
