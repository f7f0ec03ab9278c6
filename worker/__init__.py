"""The worker: it claims experiments, trains them and records their results."""
