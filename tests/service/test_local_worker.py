"""The worker that a service keeps: tried again when there is no room to start one."""

import subprocess
import time

from service import local_worker
from service.local_worker import LocalWorker
from service.settings import ServiceSettings


def test_one_that_cannot_be_started_is_tried_again(tmp_path, monkeypatch):
    started, tried = subprocess.Popen, []

    def no_room_at_first(*arguments, **options):
        tried.append(None)
        if len(tried) < 3:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return started(*arguments, **options)

    monkeypatch.setattr(local_worker.subprocess, "Popen", no_room_at_first)
    monkeypatch.setattr(local_worker, "FIRST_PAUSE_SECONDS", 0.05)
    with LocalWorker(ServiceSettings(database_url=f"sqlite:///{tmp_path / 'normlab.db'}")):
        ends = time.monotonic() + 10
        while len(tried) < 3:
            assert time.monotonic() < ends
            time.sleep(0.02)
