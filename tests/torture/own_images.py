"""`python -m tests.torture.own_images`: train on 300 photographs of one's own, as a researcher would, in two requests.

The photographs are in class folders, without parts. A real service runs with its local worker. The first request must
fail with the name of the one damaged photograph. The second, with skip_damaged, must end in a trained network.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from tests.experiments import until
from tests.torture.photographs import CLASSES, DAMAGED, PER_CLASS, write_photographs

SPEC = {"dataset": "folder", "folder": "photos", "image_size": 32, "epochs": 20, "batch_size": 20, "seed": 1}
MIN_ACCURACY = 0.8  # of three classes that a straight line tells apart


def main() -> None:
    """Post the two requests, print every message and the result in one line, and exit with 1 if anything is wrong."""
    CommandParser(description=__doc__).parse_args()
    began = time.monotonic()
    with (
        ProgressLines("own images", doing="two trainings of 300 photographs"),
        tempfile.TemporaryDirectory() as data_dir,
        _service(Path(data_dir)) as client,
    ):
        wrong = [*_post_misspelt(client), *_train(client, Path(data_dir))]
    print(f"own_images: {'; '.join(wrong) or 'as expected'}, {time.monotonic() - began:.0f} s", flush=True)
    sys.exit(len(wrong) > 0)


def _post_misspelt(client):
    response = client.post("/experiments", json=SPEC | {"folder": "photo"})
    print(f"misspelt folder: {response.status_code} {response.json()['detail']}")
    if response.status_code != 422:
        yield "a misspelt folder is accepted"


def _train(client, data_dir):
    """Yield what is wrong with the two requests."""
    write_photographs(data_dir / "photos")
    failed = _ended(client, SPEC)
    print(f"first request: {failed['status']}: {failed['error']}")
    if failed["status"] != "failed" or f"photos/{DAMAGED}" not in failed["error"]:
        yield "the first request does not fail with the name of the damaged photograph"
    trained = _ended(client, SPEC | {"skip_damaged": True})
    if trained["status"] != "succeeded":
        yield f"the second request ended as {trained['status']}: {trained['error']}"
        return
    data = trained["provenance"]["data"]
    accuracy = client.get(f"{trained['links']['metrics']}").json()["metrics"][-1]["test_accuracy"]
    by_class = ", ".join(f"{each['name']} {each['train']} + {each['test']}" for each in data["by_class"])
    print(
        f"second request: {trained['status']}, {by_class}, skipped {data['folder']['first_skipped']}, ignored "
        f"{data['folder']['ignored']}, last layer {trained['network'][-1]['output_shape']}, accuracy {accuracy:.3f}, "
        f"commit {trained['provenance']['commit']}"
    )
    if (data["train"] + data["test"], data["folder"]["skipped"]) != (len(CLASSES) * PER_CLASS - 1, 1):
        yield "not every photograph but the damaged one was trained on"
    if trained["network"][-1]["output_shape"] != [len(CLASSES)] or not re.fullmatch("[0-9a-f]{64}", data["sha256"]):
        yield "the answer does not tell the classes and the data"
    if accuracy < MIN_ACCURACY:
        yield f"the accuracy is {accuracy}"


def _ended(client, spec):
    """Post a spec and return its experiment once that has ended."""
    response = client.post("/experiments", json=spec)
    if response.status_code != 201:
        return {"status": str(response.status_code), "error": response.json()["detail"]}
    location = response.headers["location"]
    until(
        lambda: client.get(location).json()["status"] in ("succeeded", "failed", "cancelled"), seconds=240,
        every_seconds=0.2,
    )  # fmt: skip
    return client.get(location).json()


@contextmanager
def _service(data_dir):
    """Run a service with a local worker, whose data directory this is, and yield a client of it."""
    environment = os.environ | {
        "NORMLAB_DATABASE_URL": f"sqlite:///{data_dir / 'normlab.db'}",
        "NORMLAB_DATA_DIR": str(data_dir),
    }
    command = [sys.executable, "-m", "service", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as service:
        try:
            address = next(line for line in service.stdout if "serves on " in line).split("serves on ")[1].strip()
            with httpx2.Client(base_url=address, timeout=60) as client:
                yield client
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(60)


if __name__ == "__main__":
    main()
