"""Training: from a spec to a network and an optimizer, and through its epochs. No database."""
