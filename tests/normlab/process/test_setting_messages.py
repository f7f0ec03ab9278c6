"""The sentences about settings: each names its setting, what it accepts and what it has."""

import os
import subprocess
import sys

import pytest

from normlab.process.setting_messages import NAMES
from service.settings import ServiceSettings
from worker.settings import WorkerSettings

REFUSALS = {
    ("PORT", "x"): "expected a whole number from 0 to 65,535; got x",
    ("PORT", ""): 'expected a whole number from 0 to 65,535; got ""',
    ("PORT", "99999"): "expected a whole number from 0 to 65,535; got 99999",
    ("REQUESTS_PER_SECOND", "inf"): "expected a number from 0.01 to 1,000,000; got inf",
    ("REQUIRE_KEY", "perhaps"): "expected true or false; got perhaps",
    ("ALLOWED_HOSTS", "lab.example"): 'expected a JSON array such as ["lab.example"]; got lab.example',
    ("DATA_DIR", "/dev/null"): "the folder /dev/null cannot be made: /dev/null is not a folder",
    ("DATABASE_URL", "banana"): "expected sqlite:///path or postgresql://user:password@host/name",
    ("PROT", "80"): "there is no such setting; did you mean NORMLAB_PORT? Correct it or unset it",
    ("DATABSE_URL", "x"): "there is no such setting; did you mean NORMLAB_DATABASE_URL? Correct it or unset it",
    ("ALLOWED_HOST", "x"): "there is no such setting; did you mean NORMLAB_ALLOWED_HOSTS? Correct it or unset it",
}


def refusal(settings):
    """The message with which the reading of the environment's settings exits."""
    with pytest.raises(SystemExit) as exit_:
        settings.read()
    return exit_.value.code


class TestMessages:
    @pytest.mark.parametrize(("setting", "message"), REFUSALS.items(), ids=lambda part: str(part)[:40])
    def test_name_the_setting(self, monkeypatch, setting, message):
        """A wrong or misspelt setting is refused with this sentence, which begins with its name."""
        name, value = setting
        monkeypatch.setenv(f"NORMLAB_{name}", value)
        assert refusal(ServiceSettings) == f"NORMLAB_{name}: {message}"

    def test_name_every_wrong_setting(self, monkeypatch):
        """All that is wrong with the settings is said at once."""
        for name in ("PROT", "PORT", "HOSTT", "LEASE_SECONDS"):
            monkeypatch.setenv(f"NORMLAB_{name}", "x")
        assert [line.partition(":")[0] for line in refusal(ServiceSettings).splitlines()] == [
            "NORMLAB_HOSTT", "NORMLAB_PROT", "NORMLAB_PORT",
        ]  # fmt: skip

    def test_value_of_the_database_is_not_shown(self, monkeypatch):
        """A wrong address of the database, which may hold a password, is not repeated."""
        monkeypatch.setenv("NORMLAB_DATABASE_URL", "mysql://user:secret@host/name")
        assert "secret" not in refusal(WorkerSettings)

    def test_names_are_all_settings(self):
        """The list of names has the settings of every program, and no other."""
        fields = {*ServiceSettings.model_fields, *WorkerSettings.model_fields}
        assert {name.lower() for name in NAMES} == fields


@pytest.mark.slow
class TestLocalWorker:
    def test_wrong_setting_stops_the_service(self, tmp_path):
        """A service whose local worker refuses a setting ends with a failure, and its last line is the reason."""
        environment = os.environ | {
            "NORMLAB_DATABASE_URL": f"sqlite:///{tmp_path / 'n.db'}", "NORMLAB_LEASE_SECONDS": "0.1",
        }  # fmt: skip
        command = [sys.executable, "-m", "service", "--port", "0"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == (
            "the service stops, because its local worker cannot start: NORMLAB_LEASE_SECONDS: expected a number from "
            "0.5 to 86,400; got 0.1"
        )
        assert "restarted" not in ended.stderr

    @pytest.mark.parametrize(("value", "code", "words"), [("30", 0, ""), ("x", 78, "NORMLAB_LEASE_SECONDS: expected")])
    def test_check_of_the_settings(self, value, code, words):
        """`python -m worker --check` reads the settings and does nothing else."""
        command = [sys.executable, "-m", "worker", "--check"]
        environment = os.environ | {"NORMLAB_LEASE_SECONDS": value}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stderr) == (code, "")
        assert ended.stdout.startswith(words)
        assert bool(ended.stdout) == bool(words)
