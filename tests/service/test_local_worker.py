"""The local worker of a service."""

import subprocess

from service.local_worker import LocalWorker
from service.settings import ServiceSettings
from tests.experiments import until


class TestLocalWorker:
    def test_failed_start_is_repeated(self, tmp_path):
        """A worker that cannot be started, for example for lack of memory, is started again later."""
        starts = []

        def start(*arguments, **options):
            starts.append(None)
            if len(starts) < 3:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            return subprocess.Popen(*arguments, **options)

        settings = ServiceSettings(database_url=f"sqlite:///{tmp_path / 'normlab.db'}")
        with LocalWorker(settings, first_pause_seconds=0.05, start=start):
            until(lambda: len(starts) == 3, seconds=10)

    def test_has_as_many_workers_as_the_settings_say(self, tmp_path):
        """The command of the local worker names the number of workers."""
        commands = []

        def start(command, **options):
            commands.append(command)
            raise BlockingIOError(11, "Resource temporarily unavailable")

        settings = ServiceSettings(database_url=f"sqlite:///{tmp_path / 'normlab.db'}", local_workers=3)
        with LocalWorker(settings, first_pause_seconds=0.05, start=start):
            until(lambda: commands, seconds=10)
        assert commands[0][-2:] == ["--workers", "3"]
