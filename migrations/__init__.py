"""The migrations of the database: Alembic's revisions, from an empty database to the newest schema."""
