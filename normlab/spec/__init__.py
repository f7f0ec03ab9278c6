"""What an experiment is: its fields, its layers with their shapes, its size. pydantic alone: no database, no torch."""
