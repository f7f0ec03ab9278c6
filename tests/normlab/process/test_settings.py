"""Settings out of the environment: each of our processes says which one is wrong, without a traceback."""

import os
import subprocess
import sys

import pytest

from normlab.process.settings import DatabaseSettings
from service.settings import ServiceSettings
from worker.settings import WorkerSettings


@pytest.mark.parametrize("module", ["service", "worker", "migrations"])
@pytest.mark.parametrize(
    "url", ["banana", "mysql://user:secret@host/name", "postgresql+asyncpg://user:secret@host/name"]
)
def test_a_wrong_setting_ends_the_process_with_a_line_that_names_it_and_no_secret(module, url):
    environment = os.environ | {"NORMLAB_DATABASE_URL": url}
    ended = subprocess.run([sys.executable, "-m", module], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr == "NORMLAB_DATABASE_URL: expected sqlite:///path or postgresql://user:password@host/name\n"


FILE = "a SQLite database must be a file, which a service and its workers can share; expected sqlite:///path"
EXPECTED = "expected sqlite:///path or postgresql://user:password@host/name"
WRONG = {
    "sqlite://": FILE,
    "sqlite:///": FILE,
    "sqlite:///:memory:": FILE,
    "sqlite:////proc/x/n.db": "the folder /proc/x cannot be made: No such file or directory",
    "sqlite:////dev/null/n.db": "the folder /dev/null cannot be made: Not a directory",
    "sqlite:///n.db?mode=ro": "a SQLite database takes no options; expected sqlite:///path",
    "sqlite:///:memory:?cache=shared": "a SQLite database takes no options; expected sqlite:///path",
    "sqlite://host/n.db": EXPECTED,
    "sqlite+aiosqlite:///n.db": EXPECTED,
    "postgresql+psycopg2://user@host/name": EXPECTED,
    "postgresql://user:secret": EXPECTED,
    "postgresql://host:secret/name": EXPECTED,
}


def refusal(settings, **given):
    with pytest.raises(SystemExit) as ended:
        settings.read(**given)
    return ended.value.code


@pytest.mark.parametrize(("url", "told"), WRONG.items(), ids=WRONG)
def test_an_address_that_we_cannot_open_is_refused_in_words_without_it(url, told):
    assert refusal(DatabaseSettings, database_url=url) == f"NORMLAB_DATABASE_URL: {told}"


@pytest.mark.parametrize(
    "url", ["sqlite:///a/b/n.db", "sqlite+pysqlite:///n.db", "postgresql+psycopg://host/n", "postgres:///n?host=/run"]
)
def test_an_address_that_we_can_open_is_taken_and_nothing_is_made_of_it(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert DatabaseSettings.read(database_url=url).database_url == url
    assert not list(tmp_path.iterdir())


NUMBERS = {
    WorkerSettings: (
        "lease_seconds",
        "poll_interval_seconds",
        "step_timeout_seconds",
        "startup_timeout_seconds",
        "max_attempts",
    ),
    ServiceSettings: ("port", "requests_per_second", "max_checkpoint_bytes", "max_activation_bytes"),
}


def test_no_number_is_forgotten_here():
    for settings, names in NUMBERS.items():
        numbers = {name for name, field in settings.model_fields.items() if field.annotation in (int, float)}
        assert numbers == set(names)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "1" + "0" * 30, "1e-9", "-1"])
@pytest.mark.parametrize(("settings", "name"), [(one, name) for one, names in NUMBERS.items() for name in names])
def test_a_number_beyond_all_sense_is_refused_in_words(settings, name, value):
    assert refusal(settings, **{name: value}).startswith(f"NORMLAB_{name.upper()}: Input should be ")


@pytest.mark.parametrize(
    "sensible",
    [
        {
            "lease_seconds": 1,
            "poll_interval_seconds": 0.05,
            "step_timeout_seconds": 2,
            "startup_timeout_seconds": 3,
            "max_attempts": 10_000,
        },
        {
            "lease_seconds": 3600,
            "poll_interval_seconds": 60,
            "step_timeout_seconds": 86_400,
            "startup_timeout_seconds": 86_400,
        },
    ],
)
def test_a_number_of_sense_is_taken(sensible):
    assert WorkerSettings.read(**sensible).model_dump().items() >= sensible.items()


def test_a_database_addresss_password_is_not_shown_with_the_settings():
    settings = DatabaseSettings(database_url="postgresql://user:secret@host/name")
    assert "secret" not in f"{settings!r} {settings}"


@pytest.mark.parametrize("command", [["migrations"], ["service", "key", "list"]], ids=" ".join)
def test_a_database_that_does_not_answer_is_said_in_one_sentence(command):
    environment = os.environ | {"NORMLAB_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    ended = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("the database does not answer: connection failed")
