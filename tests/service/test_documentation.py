"""The documentation page: it loads the service's own files alone, so it works without internet and with an API key."""

import re

import pytest

from tests.service.clients import client_of, problem

MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "png": "image/png"}


def loaded_by(page):
    """The addresses of what the page loads."""
    return re.findall(r'(?:src|href)="([^"]*)"', page)


class TestPage:
    def test_loads_files_of_the_service(self, sqlite):
        """The page and each file that it loads come from the service, and need no API key."""
        with client_of(sqlite.url, require_key=True) as client:
            page = client.get("/docs")
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            addresses = loaded_by(page.text)
            assert len(addresses) == 4
            for address in addresses:
                response = client.get(f"/{address}")
                assert response.status_code == 200
                assert response.headers["content-type"].startswith(MEDIA_TYPES[address.rpartition(".")[2]])
            assert len(client.get("/docs/swagger-ui-bundle.js").content) > 1_000_000

    def test_loads_nothing_from_elsewhere(self, client):
        """Neither the page nor its start script names another server, and the policy forbids to load from one."""
        page = client.get("/docs")
        assert "//" not in page.text + client.get("/docs/start.js").text
        policy = page.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "//" not in policy

    def test_keeps_the_api_key(self, client):
        """The page reads the service's document, offers to authorize, and keeps the API key when it is reloaded."""
        start = client.get("/docs/start.js").text
        assert 'url: "openapi.json"' in start
        assert "persistAuthorization: true" in start
        assert client.get("/openapi.json").json()["components"]["securitySchemes"]

    @pytest.mark.parametrize("name", ["swagger-ui.js", "..%2fmain.py", "__init__.py"])
    def test_has_no_other_files(self, client, name):
        """Other files of the package are not served."""
        problem(client.get(f"/docs/{name}"), 404)
