"""The settings of every process, the data directory and the database's address, and how they are read."""

import os
import sys
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from normlab.process.database_address import SQLiteAddress, read_address, sqlite_url
from normlab.process.setting_messages import invalid_settings, unknown_settings, unreadable_lists

DATABASE_NAME = "normlab.db"


def _default_data_dir() -> Path:
    """Return the user's folder for data, by the XDG base directory specification. It ignores a relative variable."""
    of_user = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (of_user if of_user.is_absolute() else Path("~/.local/share")) / "normlab"


class DatabaseSettings(BaseSettings):
    """Where the data and the database are.

    NORMLAB_DATA_DIR: by default $XDG_DATA_HOME/normlab or ~/.local/share/normlab, whatever folder a process starts in.
    NORMLAB_DATABASE_URL: sqlite:///path or postgresql://user:password@host/name. By default the SQLite file
    normlab.db in the data directory.
    """

    # An infinite number of seconds, bytes or attempts has no use.
    model_config = SettingsConfigDict(env_prefix="NORMLAB_", extra="ignore", allow_inf_nan=False)

    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="The folder of the data sets. Public data sets are downloaded into it.",
    )
    database_url: str = Field(
        default_factory=lambda values: sqlite_url(values["data_dir"] / DATABASE_NAME),
        repr=False,  # it may hold a password
    )

    @classmethod
    def read(cls, **values: Any) -> Self:
        """Return the settings of the environment, except for the given ones. Exit with a message if one is invalid."""
        faults = list(unknown_settings(os.environ, cls))
        settings = None
        try:
            settings = cls(**values)
        except SettingsError:
            faults += unreadable_lists(cls)
        except ValidationError as error:
            faults += invalid_settings(error, cls)
        if settings is None or faults:
            sys.exit("\n".join(faults))
        return settings

    @property
    def default_database(self) -> Path:
        """The database's file if no address is set."""
        return self.data_dir / DATABASE_NAME

    @field_validator("data_dir", mode="before")
    @classmethod
    def _expand_data_dir(cls, folder: str | Path) -> Path:
        """Make the path absolute. An empty variable would be the folder that the process starts in."""
        if not str(folder).strip():
            raise ValueError("expected the path of a folder, got an empty text")
        try:
            return Path(folder).expanduser().absolute()
        except RuntimeError as error:
            raise ValueError("this user has no home folder; write the whole path") from error

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, address: str) -> str:
        database = read_address(address)
        if isinstance(database, SQLiteAddress) and (refusal := _path_refusal(database.path)) is not None:
            raise ValueError(refusal)
        return address


def check_data_dir(folder: Path) -> Path:
    """Return the data directory. Raises ValueError if it is no folder, or cannot be made."""
    if (refusal := _folder_refusal(folder)) is not None:
        raise ValueError(refusal)
    return folder


def _path_refusal(path: Path) -> str | None:
    """Return why a SQLite database cannot be at the path. None if it can."""
    try:
        if path.is_dir():
            return f"{path} is a folder; name a file in it, such as {path / DATABASE_NAME}"
    except PermissionError:
        pass  # the folder's own refusal says more
    return _folder_refusal(path.parent)


def _folder_refusal(folder: Path) -> str | None:
    """Return why the folder cannot be made or used. A process makes it when it first needs it."""
    try:
        ancestor = next(each for each in (folder, *folder.parents) if each.exists())
    except PermissionError as error:
        return f"the folder {folder} cannot be reached: {error.strerror}"
    if not ancestor.is_dir():
        return f"the folder {folder} cannot be made: {ancestor} is not a folder"
    if ancestor != folder and not os.access(ancestor, os.W_OK | os.X_OK):
        return f"the folder {folder} cannot be made: {ancestor} cannot be written to"
    return None
