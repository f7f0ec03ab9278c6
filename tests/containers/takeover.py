"""`python -m tests.containers.takeover`: run the compose file with three workers, and kill the one that trains.

Its experiment must be taken over and end with the same hash as an undisturbed one. This needs a container engine and
docker-compose.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import httpx2

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from tests.experiments import until

ROOT = Path(__file__).parents[2]
SERVICE = "http://127.0.0.1:8000"
SPEC = {"dataset": "digits", "normalization": "batch", "epochs": 30}
TIMEOUT_SECONDS = 600.0
POLL_SECONDS = 0.5
COMPOSE = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
ENDED = ("succeeded", "failed", "cancelled")


def main() -> None:
    """Start the containers, kill a worker, compare the hashes and print the result in one line."""
    CommandParser(description=__doc__).parse_args()
    began = time.monotonic()
    with ProgressLines("containers", doing="build the images") as progress:
        _run(began, progress)


def _run(began, progress):
    _compose("build")
    progress.doing = "start three workers, train, and kill one"
    try:
        _compose("up", "-d", "--scale", "worker=3")
        with httpx2.Client(base_url=SERVICE, timeout=30) as client:
            _until(lambda: _is_ready(client))
            start_seconds = time.monotonic() - began
            undisturbed, disturbed = (client.post("/experiments", json=SPEC).headers["location"] for _ in range(2))
            _until(lambda: client.get(disturbed).json()["progress"]["epochs_done"] >= 3)
            progress, worker = (client.get(disturbed).json()[name] for name in ("progress", "worker"))
            container = worker.split(":")[0]  # the host name of a container is its id
            subprocess.run(["docker", "kill", container], check=True, stdout=subprocess.DEVNULL)
            killed = time.monotonic()
            _until(lambda: all(client.get(url).json()["status"] in ENDED for url in (disturbed, undisturbed)))
            attempts = client.get(f"{disturbed}/attempts").json()["attempts"]
            outcomes, resumed = [row["outcome"] for row in attempts], attempts[-1]["resumed_at_step"]
            hashes = [client.get(f"{url}/checkpoint").json()["sha256"] for url in (disturbed, undisturbed)]
    finally:
        _compose("down", "--volumes", "--timeout", "60")
    print(
        f"containers: up after {start_seconds:.0f} s; one of 3 workers killed after {progress['epochs_done']} epochs: "
        f"{outcomes}"
        f", resumed at step {resumed}, ended {time.monotonic() - killed:.0f} s after the kill; {hashes[0][:16]} and "
        f"undisturbed {hashes[1][:16]}: {'the same' if hashes[0] == hashes[1] else 'DIFFERENT'}",
        flush=True,
    )
    raise SystemExit(hashes[0] != hashes[1] or outcomes != ["lost", "succeeded"])


def _compose(*words):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COMPOSE_PROJECT_NAME": "normlab-test", "DOCKER_BUILDKIT": "0"}
    subprocess.run([*COMPOSE, *words], cwd=ROOT, env=environment, check=True)


def _is_ready(client):
    try:
        return client.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def _until(condition):
    until(condition, seconds=TIMEOUT_SECONDS, every_seconds=POLL_SECONDS)


if __name__ == "__main__":
    main()
