"""The database's address, read as libpq reads a PostgreSQL URI and as SQLite reads a file's URI: %3F is a ?."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

EXPECTED = "expected sqlite:///path or postgresql://user:password@host/name"
UNREADABLE = (
    "libpq cannot read this address. It takes libpq's own options only, and in a name, a password or an option each of "
    "? = % @ / and space is percent-encoded, such as %20; expected postgresql://user:password@host/name?option=value"
)
NO_FILE = "a SQLite database must be a file, which a service and its workers can share; expected sqlite:///path"
NO_OPTIONS = "a SQLite database takes no options; expected sqlite:///path, where a ? in the path is written %3F"
NO_FRAGMENT = "a # in the path of a SQLite database is written %23"
NO_URI = "expected sqlite:///path, not SQLite's own file: address"
BAD_PERCENT = "a % in the path of a SQLite database is written %25"
_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?://(?P<host>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_POSTGRESQL = re.compile(r"(?:postgresql(?:\+psycopg)?|postgres)://(?P<rest>.*)", re.DOTALL)
_PERCENT = re.compile(r"%(?!00)[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class SQLiteAddress:
    """An absolute path of a file."""

    path: Path

    @property
    def location(self) -> str:
        """The path as text that can be printed."""
        return os.fsencode(self.path).decode(errors="backslashreplace")


@dataclass(frozen=True)
class PostgreSQLAddress:
    """A URI for libpq. It may hold a password."""

    uri: str

    @property
    def location(self) -> str:
        """The database's name and hosts, without user and password. libpq's own defaults fill in what is missing."""
        defaults = {each.keyword.decode(): each.val and each.val.decode() for each in pq.Conninfo.get_defaults()}
        given = conninfo_to_dict(self.uri)
        if "service" in given and not {"host", "dbname"} <= given.keys():
            return f"PostgreSQL service {given['service']}"  # a section of libpq's service file
        options = defaults | given
        host = options.get("host") or options.get("hostaddr") or "the default socket"
        port = "" if options["port"] == "5432" else f", port {options['port']}"
        return f"PostgreSQL database {options.get('dbname') or options['user']} on {host}{port}"


DatabaseAddress = SQLiteAddress | PostgreSQLAddress


def read_address(address: str) -> DatabaseAddress:
    """Read a database's address. Raises ValueError with a message that does not hold the address: it may be secret."""
    if match := _SQLITE.fullmatch(address):
        if match["host"]:
            raise ValueError(EXPECTED)
        return SQLiteAddress(_sqlite_path(match["rest"]))
    if match := _POSTGRESQL.fullmatch(address):
        return PostgreSQLAddress(_checked_uri(f"postgresql://{match['rest']}"))
    raise ValueError(EXPECTED)


def sqlite_url(path: Path) -> str:
    """Return the address of a SQLite database."""
    return f"sqlite:///{quote(os.fsencode(path))}"


def _sqlite_path(rest: str) -> Path:
    """Return the absolute path. rest: what follows `sqlite://`, with its slash."""
    name = rest.removeprefix("/")
    if name.partition("?")[0] in ("", ":memory:") and "?" not in name:
        raise ValueError(NO_FILE)
    if name.startswith("file:"):
        raise ValueError(NO_URI)
    if "?" in name:
        raise ValueError(NO_OPTIONS)
    if "#" in name:
        raise ValueError(NO_FRAGMENT)
    if "%" in _PERCENT.sub("", name):
        raise ValueError(BAD_PERCENT)
    path = Path(os.fsdecode(unquote_to_bytes(name)))
    try:
        return path.expanduser().absolute()  # a shell expands ~ at the start of a word only, and so not in an address
    except RuntimeError as error:
        raise ValueError(f"{path.parts[0]} has no home folder; write the whole path") from error


def _checked_uri(uri: str) -> str:
    """Return the URI if libpq can read it. Its own message is not shown, because it may quote a password."""
    try:
        options = conninfo_to_dict(uri)
    except psycopg.ProgrammingError:
        raise ValueError(UNREADABLE) from None
    ports = str(options.get("port", "")).split(",")
    if not all(port == "" or (port.isascii() and port.isdigit() and 0 < int(port) < 65_536) for port in ports):
        raise ValueError(EXPECTED)
    return uri
