"""A real web server for what the loaders download, and an address where nothing answers."""

import threading
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

NOWHERE = "http://127.0.0.1:1/"  # a port that is closed: refused at once, on any machine


@dataclass(frozen=True)
class Web:
    """A folder, the URL under which its files can be fetched, and the paths that were."""

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
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return NOWHERE
