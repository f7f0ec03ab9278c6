"""The setting that everything of ours reads, where the database is; and how settings are read."""

import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

EXPECTED = "expected sqlite:///path or postgresql://user:password@host/name"
SQLITE = ("sqlite", "sqlite+pysqlite")  # as SQLAlchemy names them; of other drivers there is none here
POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


class DatabaseSettings(BaseSettings):
    """NORMLAB_DATABASE_URL: sqlite:///path or postgresql://user:password@host/name."""

    # Of numbers: nobody can wait for an infinity.
    model_config = SettingsConfigDict(env_prefix="NORMLAB_", extra="ignore", allow_inf_nan=False)

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
    def _is_of_a_database_we_can_open(cls, address: str) -> str:
        if (wrong := _wrong_with(address)) is not None:
            raise ValueError(wrong)
        return address


def _wrong_with(address: str) -> str | None:
    """Why we cannot open a database there; without the address, which may hold a password."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # the latter of a port that is no number
        return EXPECTED
    if url.drivername in POSTGRESQL:
        return None
    if url.drivername not in SQLITE or url.host or url.username or url.password:
        return EXPECTED
    if url.query:
        return "a SQLite database takes no options; expected sqlite:///path"
    if not url.database or url.database == ":memory:":
        return "a SQLite database must be a file, which a service and its workers can share; expected sqlite:///path"
    return _wrong_with_folder(Path(url.database).parent)


def _wrong_with_folder(folder: Path) -> str | None:
    """Whoever opens the database makes it; that this can be done shows another one, made and gone: rights do not tell,
    for in /proc not even root makes any.
    """
    try:
        if not folder.is_dir():
            there = next(one for one in (folder, *folder.parents) if one.exists())
            with tempfile.TemporaryDirectory(dir=there):
                pass
    except OSError as error:
        return f"the folder {folder} cannot be made: {error.strerror}"
    return None


def _in_words(place: tuple[int | str, ...], message: str) -> str:
    name = "".join(f"NORMLAB_{part}: ".upper() for part in place)
    return name + message.removeprefix("Value error, ")
