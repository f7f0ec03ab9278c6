"""Settings of the environment: every process names the invalid one, in a sentence without a traceback."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from normlab.process.settings import DatabaseSettings
from normlab.store.database import Database
from service.settings import ServiceSettings
from worker.settings import WorkerSettings

EXPECTED = "expected sqlite:///path or postgresql://user:password@host/name"
FILE = "a SQLite database must be a file, which a service and its workers can share; expected sqlite:///path"
OPTIONS = "a SQLite database takes no options; expected sqlite:///path, where a ? in the path is written %3F"
REFUSALS = {
    "sqlite://": FILE,
    "sqlite:///": FILE,
    "sqlite:///:memory:": FILE,
    "sqlite:////dev/null/n.db": "the folder /dev/null cannot be made: /dev/null is not a folder",
    "sqlite:////dev/null/x/n.db": "the folder /dev/null/x cannot be made: /dev/null is not a folder",
    "sqlite:///n.db?mode=ro": OPTIONS,
    "sqlite:///:memory:?cache=shared": OPTIONS,
    "sqlite://host/n.db": EXPECTED,
    "sqlite+aiosqlite:///n.db": EXPECTED,
    "postgresql+psycopg2://user@host/name": EXPECTED,
    "postgresql://user:secret": EXPECTED,
    "postgresql://host:secret/name": EXPECTED,
}
NUMBERS = {
    WorkerSettings: (
        "lease_seconds", "poll_interval_seconds", "step_timeout_seconds", "startup_timeout_seconds", "max_attempts",
    ),
    ServiceSettings: ("port", "local_workers", "requests_per_second", "max_checkpoint_bytes", "max_activation_bytes"),
}  # fmt: skip
NAMED_NUMBERS = [(settings, name) for settings, names in NUMBERS.items() for name in names]


def refusal(settings, **values):
    """Return the message with which the settings' reading exits."""
    with pytest.raises(SystemExit) as exit_:
        settings.read(**values)
    return exit_.value.code


def ended(*command, url):
    """Run a module with a database's address, and return how it ended."""
    return subprocess.run(
        [sys.executable, "-m", *command], env=os.environ | {"NORMLAB_DATABASE_URL": url}, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def unprivileged():
    """This process without root's rights, which allow it to write everywhere."""
    is_root = os.getuid() == 0
    if is_root:
        os.setresuid(65534, 65534, 0)
    yield
    if is_root:
        os.setresuid(0, 0, 0)


@pytest.mark.slow
class TestProcess:
    """A process with a wrong setting, or with a database that does not answer."""

    @pytest.mark.parametrize("module", ["service", "worker", "migrations"])
    @pytest.mark.parametrize(
        "url", ["banana", "mysql://user:secret@host/name", "postgresql+asyncpg://user:secret@host/name"]
    )
    def test_names_the_wrong_setting(self, module, url):
        """It ends with one line that names the setting and holds no password."""
        process = ended(module, url=url)
        assert (process.returncode, process.stderr) == (1, f"NORMLAB_DATABASE_URL: {EXPECTED}\n")

    @pytest.mark.parametrize("module", ["service", "worker", "migrations"])
    def test_help_starts_nothing(self, module, tmp_path):
        """--help prints the command's use and makes no database."""
        process = ended(module, "--help", url=f"sqlite:///{tmp_path / 'normlab.db'}")
        assert (process.returncode, process.stderr) == (0, "")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("command", [["migrations"], ["service", "key", "list"]], ids=" ".join)
    def test_says_that_the_database_does_not_answer(self, command):
        """A command whose database does not answer ends with a sentence."""
        process = ended(*command, url="postgresql://nobody@127.0.0.1:1/nothing")
        assert process.returncode == 1
        assert process.stderr.startswith("database ")
        assert "nothing on 127.0.0.1" in process.stderr
        assert " does not answer: connection failed" in process.stderr

    @pytest.mark.parametrize("command", [["migrations"], ["service", "--no-worker", "--port", "0"]], ids=" ".join)
    def test_says_that_the_folder_cannot_be_made(self, command):
        """A folder in which a database cannot be made, though its rights allow it, ends a process with a sentence."""
        process = ended(*command, url="sqlite:////proc/x/n.db")
        assert process.returncode == 1
        assert process.stderr.endswith("the folder /proc/x cannot be made: No such file or directory\n")
        assert "Traceback" not in process.stderr


class TestDatabaseURL:
    """The database's address."""

    @pytest.mark.parametrize(("url", "message"), REFUSALS.items(), ids=REFUSALS)
    def test_refusal_does_not_hold_the_address(self, url, message):
        """An address that cannot be opened is refused with a sentence without it."""
        assert refusal(DatabaseSettings, database_url=url) == f"NORMLAB_DATABASE_URL: {message}"

    @pytest.mark.usefixtures("unprivileged")
    def test_unwritable_folder_is_refused(self):
        """A folder is refused if it cannot be made, or if a folder above it cannot be searched."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o500)
            assert refusal(DatabaseSettings, database_url=f"sqlite:///{folder}/x/n.db") == (
                f"NORMLAB_DATABASE_URL: the folder {folder}/x cannot be made: {folder} cannot be written to"
            )
            folder.chmod(0)
            assert refusal(DatabaseSettings, database_url=f"sqlite:///{folder}/x/n.db") == (
                f"NORMLAB_DATABASE_URL: the folder {folder}/x cannot be reached: Permission denied"
            )
            folder.chmod(0o700)

    @pytest.mark.parametrize(
        "url",
        ["sqlite:///a/b/n.db", "sqlite+pysqlite:///n.db", "postgresql+psycopg://host/n", "postgres:///n?host=/run"],
    )
    def test_accepted_address_makes_nothing(self, url, tmp_path, monkeypatch):
        """Neither reading an address nor a database that no session uses makes a file or a folder."""
        monkeypatch.chdir(tmp_path)
        assert DatabaseSettings.read(database_url=url).database_url == url
        Database(url).close()
        assert not list(tmp_path.iterdir())

    def test_first_connection_makes_the_folder(self, tmp_path):
        """The first connection makes the file and its folder. It raises OperationalError if it cannot."""
        database = Database(f"sqlite:///{tmp_path}/a/b/n.db")
        database.reader.connect().close()
        assert (tmp_path / "a/b/n.db").exists()
        database.close()
        with pytest.raises(OperationalError, match="the folder /proc/x cannot be made: No such file or directory"):
            Database("sqlite:////proc/x/n.db").reader.connect()

    def test_password_is_not_shown(self):
        """The text of the settings does not hold the address."""
        settings = DatabaseSettings(database_url="postgresql://user:secret@host/name")
        assert "secret" not in f"{settings!r} {settings}"


class TestDataDir:
    """The folder of the data."""

    @pytest.mark.parametrize(
        ("variables", "folder"),
        [
            ({"XDG_DATA_HOME": "/shared/data"}, "/shared/data/normlab"),
            ({"XDG_DATA_HOME": ""}, "/home/a/.local/share/normlab"),
            ({"XDG_DATA_HOME": "relative"}, "/home/a/.local/share/normlab"),
            ({"NORMLAB_DATA_DIR": "/srv/lab"}, "/srv/lab"),
            ({"NORMLAB_DATA_DIR": "~/lab"}, "/home/a/lab"),
            ({"NORMLAB_DATA_DIR": "lab"}, "{here}/lab"),
        ],
    )
    def test_path_is_absolute_and_holds_the_database(self, variables, folder, tmp_path, monkeypatch):
        """The path is absolute, by default the user's own folder for data, and the default database is in it."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", "/home/a")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings = DatabaseSettings.read()
        assert settings.data_dir == Path(folder.format(here=tmp_path))
        assert Database(settings.database_url).location == str(settings.data_dir / "normlab.db")

    @pytest.mark.parametrize("folder", ["", " ", "~nobody-of-this-name/x"])
    def test_path_that_names_no_folder_is_refused(self, folder, monkeypatch):
        """An empty path, which would be the working directory, and an unknown user's home are refused once."""
        monkeypatch.setenv("NORMLAB_DATA_DIR", folder)
        message = refusal(DatabaseSettings)
        assert message.startswith("NORMLAB_DATA_DIR: ")
        assert "\n" not in message


class TestNumbers:
    """The settings that are numbers."""

    def test_are_all_listed_here(self):
        """Every number of the settings is tested below."""
        for settings, names in NUMBERS.items():
            numbers = {name for name, field in settings.model_fields.items() if field.annotation in (int, float)}
            assert numbers == set(names)

    @pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "1" + "0" * 30, "1e-9", "-1"])
    @pytest.mark.parametrize(("settings", "name"), NAMED_NUMBERS)
    def test_out_of_range_are_refused(self, settings, name, value):
        """A number out of its range is refused with a sentence that names the setting."""
        assert refusal(settings, **{name: value}).startswith(f"NORMLAB_{name.upper()}: expected a ")

    @pytest.mark.parametrize(
        "values",
        [
            {
                "lease_seconds": 1, "poll_interval_seconds": 0.05, "step_timeout_seconds": 2,
                "startup_timeout_seconds": 3, "max_attempts": 10_000,
            },
            {
                "lease_seconds": 3600, "poll_interval_seconds": 60, "step_timeout_seconds": 86_400,
                "startup_timeout_seconds": 86_400,
            },
        ],
    )  # fmt: skip
    def test_within_range_are_accepted(self, values):
        """Small and large numbers that have a use are accepted."""
        assert WorkerSettings.read(**values).model_dump().items() >= values.items()
