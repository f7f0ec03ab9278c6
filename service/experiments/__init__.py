"""What an experiment is: its spec, its queue, its records. No torch, no FastAPI."""
