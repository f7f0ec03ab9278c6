"""What the service, the workers and the migrations share: what an experiment is, and where it is stored."""
