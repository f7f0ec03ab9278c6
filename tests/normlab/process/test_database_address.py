"""The database's address: what libpq and SQLite read from it, and what is refused."""

import os
import re
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text

from normlab.process.database_address import EXPECTED, UNREADABLE, read_address, sqlite_url
from normlab.process.settings import DatabaseSettings
from normlab.store.database import Database
from normlab.store.postgresql_engine import connection_options

NAMES = (
    "a?b.db",
    "100%.db",
    "a%20b.db",
    "a#b.db",
    "a b.db",
    "a&b=c.db",
    "ä.db",
    "猫.db",
    b"\xff.db",
    "a+b.db",
    ":x.db",
)


class TestSqlite:
    """The address of a SQLite file."""

    @pytest.mark.parametrize("name", NAMES, ids=ascii)
    def test_any_name_can_be_written(self, name, tmp_path):
        """A percent-encoded name of a file is that file, and no other is made."""
        path = tmp_path / os.fsdecode(name)
        database = Database(sqlite_url(path))
        database.reader.connect().close()
        database.close()
        assert [entry for entry in tmp_path.iterdir() if entry.suffix == ".db"] == [path]
        assert database.location.isprintable()

    @pytest.mark.parametrize(
        ("address", "path"),
        [
            ("sqlite:///x.db", "{here}/x.db"),
            ("sqlite:///a/b/x.db", "{here}/a/b/x.db"),
            ("sqlite:////a/x.db", "/a/x.db"),
            ("sqlite+pysqlite:////a/x.db", "/a/x.db"),
            ("sqlite:////a%3Fb%20c%25%23.db", "/a?b c%#.db"),
            ("sqlite:////a b/c.db", "/a b/c.db"),
            ("sqlite:///~/x.db", "{home}/x.db"),
            ("sqlite:////a/~/x.db", "/a/~/x.db"),
        ],
    )
    def test_path(self, address, path, tmp_path, monkeypatch):
        """A path is absolute, or relative to the working directory, and its %XX are decoded."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", "/home/somebody")
        assert read_address(address).path == Path(path.format(here=tmp_path, home="/home/somebody"))

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("sqlite:////a?b.db", "a ? in the path is written %3F"),
            ("sqlite:////a#b.db", "a # in the path of a SQLite database is written %23"),
            ("sqlite:////100%.db", "a % in the path of a SQLite database is written %25"),
            ("sqlite:////a%00.db", "a % in the path of a SQLite database is written %25"),
            ("sqlite:///file:x.db", "not SQLite's own file: address"),
            ("sqlite:///file:/x.db?mode=ro&uri=true", "not SQLite's own file: address"),
            ("sqlite:///~nobody-of-this-name/x.db", "has no home folder"),
            ("sqlite:/x.db", EXPECTED),
            ("sqlite://x.db", EXPECTED),
        ],
    )
    def test_ambiguous_path_is_refused(self, address, message):
        """A path that two readers would read differently is refused with the way to write it."""
        with pytest.raises(ValueError, match=re.escape(message)):
            read_address(address)

    def test_folder_is_refused(self, tmp_path):
        """The path of a folder is refused with the name that a file in it could have."""
        with pytest.raises(
            SystemExit, match=f"{tmp_path} is a folder; name a file in it, such as {tmp_path}/normlab.db"
        ):
            DatabaseSettings.read(database_url=f"sqlite:///{tmp_path}")


class TestPostgresql:
    """The address of a PostgreSQL database."""

    @pytest.mark.parametrize(
        ("address", "options"),
        [
            ("postgresql://%2Frun%2Fpostgresql/normlab", {"host": "/run/postgresql", "dbname": "normlab"}),
            ("postgresql:///normlab?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "normlab"}),
            ("postgresql+psycopg://h/my%20lab", {"host": "h", "dbname": "my lab"}),
            ("postgres://h1:1,h2:2/n", {"host": "h1,h2", "port": "1,2", "dbname": "n"}),
            ("postgresql://[::1]:5/n", {"host": "::1", "port": "5", "dbname": "n"}),
            ("postgresql://h/n?password=a+b%2Bc", {"host": "h", "dbname": "n", "password": "a+b+c"}),
            ("postgresql://u%40lab:p%2Fw@h/n", {"host": "h", "dbname": "n", "user": "u@lab", "password": "p/w"}),
            ("postgresql://u:p?ss@h/d", {"host": "h", "dbname": "d", "user": "u", "password": "p?ss"}),
            ("postgresql://h/n?connect_timeout=60", {"host": "h", "dbname": "n", "connect_timeout": "60"}),
        ],
    )
    def test_options_are_those_of_libpq(self, address, options):
        """A connection has exactly the options that libpq reads from the address, and our timeouts."""
        uri = read_address(address).uri
        assert conninfo_to_dict(uri) == options
        timeouts = {"connect_timeout": 5, "tcp_user_timeout": 15_000}
        assert connection_options(uri, timeout_seconds=15) == timeouts | options

    @pytest.mark.parametrize("port", ["secret", "0", "65536", "-1", "1,host:secret", "²"])
    def test_impossible_port_is_refused(self, port):
        """A port that is no number of a port is refused, without the address."""
        with pytest.raises(ValueError, match=f"^{EXPECTED}$"):
            read_address(f"postgresql://host:{port}/name")

    @pytest.mark.parametrize(
        "address",
        [
            "postgresql://u:s%zz@h/d",
            "postgresql://h/d?sslmod=require",
            "postgresql://h/d?Password=s3cret",
        ],
    )
    def test_unreadable_address_is_refused(self, address):
        """An address that libpq cannot read is refused without any part of it: it may hold a password."""
        with pytest.raises(ValueError, match=f"^{re.escape(UNREADABLE)}$"):
            read_address(address)

    def test_encoded_socket_directory_is_used(self, postgresql):
        """An address with an encoded socket directory connects to the server that listens there."""
        options = conninfo_to_dict(read_address(postgresql.url).uri)
        folder = options["host"].replace("/", "%2F")
        database = Database(f"postgresql://{options['user']}@{folder}/{options['dbname']}")
        with database.reader.connect() as connection:
            assert connection.execute(text("SELECT current_database()")).scalar() == options["dbname"]
        database.close()

    @pytest.mark.parametrize(
        ("address", "location"),
        [
            ("postgresql://me:s3cret@db.example/lab?password=s3cret", "PostgreSQL database lab on db.example"),
            ("postgresql://db.example:7000/lab", "PostgreSQL database lab on db.example, port 7000"),
            ("postgresql://%2Frun%2Fpg/lab", "PostgreSQL database lab on /run/pg"),
            ("postgresql:///?service=lab&password=s3cret", "PostgreSQL service lab"),
            ("postgresql://", "PostgreSQL database of-environment on host-of-environment"),
        ],
    )
    def test_location_holds_no_password(self, address, location, monkeypatch):
        """The location is the database's name and host. libpq's variables fill in what the address leaves out."""
        monkeypatch.setenv("PGDATABASE", "of-environment")
        monkeypatch.setenv("PGHOST", "host-of-environment")
        assert read_address(address).location == location
