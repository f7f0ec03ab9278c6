"""Settings out of the environment: each of our processes says which one is wrong, without a traceback."""

import os
import subprocess
import sys

import pytest

from service.experiments.settings import DatabaseSettings


@pytest.mark.parametrize("module", ["service", "worker", "migrations"])
@pytest.mark.parametrize("url", ["banana", "mysql://user:secret@host/name"])
def test_a_wrong_setting_ends_the_process_with_a_line_that_names_it_and_no_secret(module, url):
    environment = os.environ | {"NORMLAB_DATABASE_URL": url}
    ended = subprocess.run([sys.executable, "-m", module], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr == "NORMLAB_DATABASE_URL: expected sqlite:///path or postgresql://user:password@host/name\n"


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
