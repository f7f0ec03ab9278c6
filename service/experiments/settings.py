"""The setting that everything of ours reads: where the database is."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class DatabaseSettings(BaseSettings):
    """NORMLAB_DATABASE_URL: sqlite:///path or postgresql://user:password@host/name."""

    model_config = SettingsConfigDict(env_prefix="NORMLAB_", extra="ignore")

    database_url: str = "sqlite:///data/normlab.db"
