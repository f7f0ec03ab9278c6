"""`python -m tests.containers.takeover`: the compose file as it stands, three workers, one of them killed at its work.

Its experiment is taken over and ends with the hash of one that nobody disturbed. Needs an engine and docker-compose.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[2]
SERVICE = "http://127.0.0.1:8000"
SPEC = {"dataset": "digits", "normalization": "batch", "epochs": 30}
PATIENCE_SECONDS = 600.0
COMPOSE = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
ENDED = ("succeeded", "failed", "cancelled")


def main() -> None:
    """Bring it up, kill, compare, say what came of it in one line, take it down."""
    began = time.monotonic()
    _compose("build")
    try:
        _compose("up", "-d", "--scale", "worker=3")
        with httpx2.Client(base_url=SERVICE, timeout=30) as client:
            _until(lambda: _answers(client))
            built = time.monotonic() - began
            twin, hurt = (client.post("/experiments", json=SPEC).headers["location"] for _ in range(2))
            _until(lambda: client.get(hurt).json()["progress"]["epoch"] >= 3)
            epoch, worker = (client.get(hurt).json()[name] for name in ("progress", "worker"))
            container = worker.split(":")[0]  # a container's host name is its id
            subprocess.run(["docker", "kill", container], check=True, stdout=subprocess.DEVNULL)
            killed = time.monotonic()
            _until(lambda: client.get(hurt).json()["status"] in ENDED and client.get(twin).json()["status"] in ENDED)
            outcomes = [row["outcome"] for row in client.get(f"{hurt}/attempts").json()["attempts"]]
            resumed = client.get(f"{hurt}/attempts").json()["attempts"][-1]["resumed_at_step"]
            hashes = [client.get(f"{one}/checkpoint").json()["sha256"] for one in (hurt, twin)]
    finally:
        _compose("down", "--volumes", "--timeout", "60")
    print(
        f"containers: up after {built:.0f} s; one of 3 workers killed at epoch {epoch['epoch']}: {outcomes}, resumed "
        f"at step {resumed}, ended {time.monotonic() - killed:.0f} s after the kill; {hashes[0][:16]} and undisturbed "
        f"{hashes[1][:16]}: {'the same' if hashes[0] == hashes[1] else 'DIFFERENT'}",
        flush=True,
    )
    raise SystemExit(hashes[0] != hashes[1] or outcomes != ["lost", "succeeded"])


def _compose(*words):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COMPOSE_PROJECT_NAME": "normlab-test", "DOCKER_BUILDKIT": "0"}
    subprocess.run([*COMPOSE, *words], cwd=ROOT, env=environment, check=True)


def _answers(client):
    try:
        return client.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def _until(true):
    ends = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError("it did not come")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
