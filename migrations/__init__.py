"""The database's history: Alembic's steps from nothing to the newest schema."""
