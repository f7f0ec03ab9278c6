"""Every performance figure in the README, measured together with its peer in one run: `python -m benchmarks`."""
