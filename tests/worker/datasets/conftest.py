"""A real web server for downloads, and an address at which nothing answers."""

import socket
import threading
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Web:
    """A folder, the URL of its files, and the paths that were requested."""

    folder: Path
    url: str
    fetched: list[str]


class Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args, fetched, **options):
        self.fetched = fetched
        super().__init__(*args, **options)

    def log_message(self, format, *args):
        self.fetched.append(self.path)


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "web"
    folder.mkdir()
    fetched = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder, fetched=fetched)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Web(folder, f"http://127.0.0.1:{server.server_port}/", fetched)
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere(monkeypatch):
    """Return the URL of a port that refuses connections: it is taken, and nothing listens on it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"
