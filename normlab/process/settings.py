"""The one setting of every process, the database's address, and how settings are read from the environment."""

import os
import sys
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

EXPECTED = "expected sqlite:///path or postgresql://user:password@host/name"
SQLITE = ("sqlite", "sqlite+pysqlite")  # the names by which SQLAlchemy selects the drivers that are installed
POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


class DatabaseSettings(BaseSettings):
    """NORMLAB_DATABASE_URL: sqlite:///path or postgresql://user:password@host/name."""

    # An infinite number of seconds, bytes or attempts has no use.
    model_config = SettingsConfigDict(env_prefix="NORMLAB_", extra="ignore", allow_inf_nan=False)

    database_url: str = Field(default="sqlite:///data/normlab.db", repr=False)  # it may hold a password

    @classmethod
    def read(cls, **values: Any) -> Self:
        """Return the settings of the environment, except for the given ones. Exit with a message if one is invalid."""
        try:
            return cls(**values)
        except SettingsError as error:
            sys.exit(f"{error}; a list is written as JSON, such as '[\"lab.example\"]'")
        except ValidationError as error:
            # Without the values: a database's address may hold a password.
            sys.exit("\n".join(_message(each["loc"], each["msg"]) for each in error.errors()))

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, address: str) -> str:
        if (refusal := _refusal(address)) is not None:
            raise ValueError(refusal)
        return address


def _refusal(address: str) -> str | None:
    """Return why the address is refused, without the address: it may hold a password. None if it is accepted."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        return EXPECTED
    if url.drivername in POSTGRESQL:
        return None
    if url.drivername not in SQLITE or url.host or url.username or url.password:
        return EXPECTED
    if url.query:
        return "a SQLite database takes no options; expected sqlite:///path"
    if not url.database or url.database == ":memory:":
        return "a SQLite database must be a file, which a service and its workers can share; expected sqlite:///path"
    return _folder_refusal(Path(url.database).parent)


def _folder_refusal(folder: Path) -> str | None:
    """Return why the folder cannot be made or used. The first connection to the database makes it."""
    try:
        ancestor = next(each for each in (folder, *folder.parents) if each.exists())
    except PermissionError as error:
        return f"the folder {folder} cannot be reached: {error.strerror}"
    if not ancestor.is_dir():
        return f"the folder {folder} cannot be made: {ancestor} is not a folder"
    if ancestor != folder and not os.access(ancestor, os.W_OK | os.X_OK):
        return f"the folder {folder} cannot be made: {ancestor} cannot be written to"
    return None


def _message(location: tuple[int | str, ...], message: str) -> str:
    name = "".join(f"NORMLAB_{part}: ".upper() for part in location)
    return name + message.removeprefix("Value error, ")
