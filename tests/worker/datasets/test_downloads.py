"""The context of a download: a timeout, and one error that says what to do."""

import socket
from http.client import IncompleteRead
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.worker.datasets.layouts import md5_of
from worker.datasets import DatasetUnavailable
from worker.datasets.downloads import RECEIVE_TIMEOUT_SECONDS, downloading, with_wrong_md5


class TestDownloading:
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
    def test_errors_of_network_and_disk_say_what_to_do(self, refusal, tmp_path):
        """Every error of the network or the disk becomes DatasetUnavailable and ends in the remedy."""
        message = r"^Clocks is not in .*[^.]\. Put them there\.$"
        with pytest.raises(DatasetUnavailable, match=message) as raised, downloading_clocks(tmp_path):
            raise refusal
        assert raised.value.__cause__ is refusal

    def test_wrong_file_is_not_called_missing(self, tmp_path):
        """A file that is there with another checksum is called wrong, with both checksums."""
        (tmp_path / "clocks.zip").write_bytes(b"half of it")
        md5 = md5_of(tmp_path / "clocks.zip")

        def find_wrong():
            return with_wrong_md5(tmp_path, [("clocks.zip", "0" * 32), ("absent.zip", "1" * 32)])

        with pytest.raises(DatasetUnavailable) as raised, downloading_clocks(tmp_path, find_wrong=find_wrong):
            raise URLError("no route")
        assert str(raised.value) == (
            f"Clocks is in {tmp_path} (NORMLAB_DATA_DIR), but {tmp_path}/clocks.zip has the wrong checksum: its MD5 is "
            f"{md5}, not {'0' * 32}; it could not be downloaded: <urlopen error no route>. Put them there."
        )

    def test_folder_that_cannot_be_created_says_what_to_do(self, tmp_path):
        """A data directory that cannot be created is reported in the same way."""
        (tmp_path / "file").touch()
        with pytest.raises(DatasetUnavailable, match="Put them there"), downloading_clocks(tmp_path / "file" / "data"):
            pass

    def test_other_errors_are_passed_on(self, tmp_path):
        """An error in our own code is not reported as a failed download."""
        with pytest.raises(KeyError), downloading_clocks(tmp_path):
            raise KeyError("typo")

    def test_silent_server_times_out(self, tmp_path):
        """A server that sends nothing is given up, and the default timeout of other sockets is restored."""
        silent = socket.create_server(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        refused = pytest.raises(DatasetUnavailable, match="timed out")
        with silent, refused, downloading_clocks(tmp_path, timeout_seconds=0.1):
            urlopen(address)
        assert socket.getdefaulttimeout() is None

    def test_has_a_timeout_by_default(self, tmp_path):
        """torchvision sets no timeout, so the default of all sockets is changed during a download."""
        with downloading_clocks(tmp_path):
            assert socket.getdefaulttimeout() == RECEIVE_TIMEOUT_SECONDS
        assert socket.getdefaulttimeout() is None


def downloading_clocks(data_dir, **options):
    return downloading("Clocks", data_dir, "Put them there.", **options)
