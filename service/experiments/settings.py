"""The setting that everything of ours reads, where the database is; and how settings are read."""

import sys
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError


class DatabaseSettings(BaseSettings):
    """NORMLAB_DATABASE_URL: sqlite:///path or postgresql://user:password@host/name."""

    model_config = SettingsConfigDict(env_prefix="NORMLAB_", extra="ignore")

    database_url: str = Field(default="sqlite:///data/normlab.db", repr=False)  # it may hold a password

    @classmethod
    def read(cls, **given: Any) -> Self:
        """The settings of a process: the environment's, but for those given. Exits, saying why, if one is wrong."""
        try:
            return cls(**given)
        except SettingsError as error:
            sys.exit(f"{error}; a list is written as JSON, such as '[\"lab.example\"]'")
        except ValidationError as error:
            # Without the values: a database's address may hold a password.
            sys.exit("\n".join(_in_words(found["loc"], found["msg"]) for found in error.errors()))

    @field_validator("database_url")
    @classmethod
    def _is_of_a_database_we_know(cls, url: str) -> str:
        try:
            known = make_url(url).get_backend_name() in ("sqlite", "postgresql", "postgres")
        except ArgumentError:
            known = False
        if not known:
            raise ValueError("expected sqlite:///path or postgresql://user:password@host/name")
        return url


def _in_words(place: tuple[int | str, ...], message: str) -> str:
    name = "".join(f"NORMLAB_{part}: ".upper() for part in place)
    return name + message.removeprefix("Value error, ")
