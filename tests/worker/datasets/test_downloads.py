"""What surrounds a download: patience with an end, and one error that says what to do."""

import socket
from http.client import IncompleteRead
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from worker.datasets import DatasetUnavailable
from worker.datasets.downloads import STALLED_AFTER_SECONDS, downloading


@pytest.mark.parametrize(
    "refusal",
    [
        URLError("no route"),
        TimeoutError("timed out"),
        IncompleteRead(b"", 5),
        RuntimeError("corrupted."),
        OSError("full"),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
def test_whatever_a_network_or_a_disk_refuses_ends_in_what_to_do(refusal, tmp_path):
    message = r"^Clocks is not in .*[^.]\. Put them there\.$"
    with pytest.raises(DatasetUnavailable, match=message) as raised, downloading_clocks(tmp_path):
        raise refusal
    assert raised.value.__cause__ is refusal


def test_a_data_directory_that_cannot_be_made_is_told_the_same_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetUnavailable, match="Put them there"), downloading_clocks(tmp_path / "file" / "data"):
        pass


def test_a_mistake_of_ours_is_not_blamed_on_the_network(tmp_path):
    with pytest.raises(KeyError), downloading_clocks(tmp_path):
        raise KeyError("typo")


def test_a_server_that_falls_silent_is_given_up_and_other_connections_keep_their_patience(tmp_path):
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(DatasetUnavailable, match="timed out"), downloading_clocks(tmp_path):
        assert socket.getdefaulttimeout() == STALLED_AFTER_SECONDS
        socket.setdefaulttimeout(0.1)
        urlopen(f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert socket.getdefaulttimeout() is None


def downloading_clocks(data_dir):
    return downloading("Clocks", data_dir, "Put them there.")
