"""ETags, conditional requests, HEAD, and addresses that carry the token of their content."""

import pytest

from normlab.store import claims, gradient_checks, queue, records
from service.app import ROUTES
from tests.experiments import do
from tests.factories import record_of
from tests.service.clients import problem

GETS = sorted(
    {route.path_format for module in ROUTES for route in module.router.routes if "GET" in route.methods}
)  # fmt: skip
VALUES = {"{experiment_id}": "1", "{name}": "loss", "{suffix}": "svg", "{split}": "test", "{asset}": "start.js"}
# The metrics count the requests. A figure's length is not known before it is drawn.
DIFFERENT = {"/metrics": {"etag", "content-length"}} | {each: {"content-length"} for each in GETS if "suffix" in each}
QUERIES = {
    "/experiments/1/histograms": "?quantity=weight",
    "/histograms": "?experiments=1&quantity=weight",
    "/plots/test-accuracy.svg": "?experiments=1",
}


def address_of(template):
    """An address of a route, of the recorded experiment."""
    for parameter, value in VALUES.items():
        template = template.replace(parameter, value)
    return template + QUERIES.get(template, "")


def tag_of(client, address):
    """The ETag of an address. No figure is drawn for it."""
    response = client.head(address)
    assert response.status_code == 200, address
    return response.headers["etag"]


def urls_of(client, location, name="loss"):
    """The addresses of a figure, as the index has them."""
    return next(each["urls"] for each in client.get(f"{location}/plots").json()["plots"] if each["name"] == name)


class TestHead:
    @pytest.mark.parametrize("template", GETS)
    def test_equals_get_without_a_body(self, client, recorded, sqlite, template):
        """HEAD has the status and the headers of GET and no body. A figure is not drawn, so its length is unknown."""
        do(sqlite, claims.succeed, recorded[1])
        do(sqlite, gradient_checks.request, 1)
        address = address_of(template)
        ignored = {"x-request-id"} | DIFFERENT.get(template, set())
        client.headers["accept-encoding"] = "identity"
        head = client.head(address)
        rendered = client.app.state.metrics.render_seconds.collect()[0].samples
        assert (head.content, [each.value for each in rendered if each.name.endswith("_count")]) == (b"", [])
        got = client.get(address)
        assert got.content
        assert head.status_code == got.status_code == 200
        for name in set(got.headers) | set(head.headers):
            assert name in ignored or head.headers.get(name) == got.headers[name], name

    def test_refusals_are_those_of_get(self, client, recorded):
        """HEAD is refused as GET is: an unknown experiment, an uncaptured epoch, an unknown address, a POST route."""
        location, _ = recorded
        for address, status in {
            "/experiments/99": 404, f"{location}/plots/weight.png?epoch=7": 404, f"{location}/plots/bias.png": 404,
            "/nowhere": 404, f"{location}/cancel": 405, "/experiments?limit=0": 422,
        }.items():  # fmt: skip
            assert (client.head(address).status_code, client.get(address).status_code) == (status, status)


class TestIfNoneMatch:
    @pytest.mark.parametrize(
        "below", ["", "/metrics", "/layers", "/attempts", "/checkpoint", "/plots", "/plots/loss.png"]
    )
    def test_forms_of_the_header(self, client, recorded, below):
        """A tag matches alone, in a list, in the other strength, and as `*`. The 304 keeps the headers of a 200."""
        location, _ = recorded
        address = location + below
        response = client.head(address)
        tag = response.headers["etag"]
        other = tag.removeprefix("W/") if tag.startswith("W/") else f"W/{tag}"
        for names in (tag, other, f'"a,b", {tag}', f'W/"x",{tag},"y"', "*", " * "):
            same = client.get(address, headers={"if-none-match": names})
            assert (same.status_code, same.content) == (304, b""), names
            for name in ("etag", "cache-control", "vary", "content-location"):
                assert same.headers.get(name) == response.headers.get(name)
        for names in ('"other"', tag.strip('W/"'), "", "**"):
            assert client.head(address, headers={"if-none-match": names}).status_code == 200, names

    def test_what_is_not_there_does_not_match(self, client, recorded):
        """`*` does not hide that there is nothing: an uncaptured epoch and an unknown experiment stay 404."""
        location, _ = recorded
        for address in (f"{location}/plots/weight.png?epoch=7", "/experiments/99", "/experiments/99/plots/loss.png"):
            problem(client.get(address, headers={"if-none-match": "*"}), 404)

    def test_problems_have_no_tag(self, client):
        """A problem has no ETag and is not kept by a cache."""
        response = client.get("/experiments/99")
        assert ("etag" in response.headers, response.headers["cache-control"]) == (False, "private, no-cache")


class TestTag:
    def test_every_write_changes_it(self, client, recorded, sqlite):
        """The tags of an experiment, its records and its figures change with a record; a retry from the start too."""
        location, claim = recorded
        addresses = [location, *(f"{location}/{name}" for name in ("attempts", "layers", "plots/loss.png"))]
        seen = [[tag_of(client, address)] for address in addresses]
        do(sqlite, records.record, claim, record_of(2))
        do(sqlite, claims.fail, claim, "an error")
        do(sqlite, queue.retry, 1, from_start=True)
        again = do(sqlite, claims.claim, worker="w", lease_seconds=30)
        for epoch in range(2):
            do(sqlite, records.record, again, record_of(epoch))
        for address, tags in zip(addresses, seen, strict=True):
            assert tag_of(client, address) not in tags, address

    def test_software_is_part_of_it(self, client, recorded, monkeypatch):
        """Another version of the software that draws has other tags and other tokens."""
        location, _ = recorded
        before = tag_of(client, f"{location}/plots/loss.png")
        monkeypatch.setattr("service.http.content_token.SOFTWARE", "another")
        assert tag_of(client, f"{location}/plots/loss.png") != before

    def test_parameters_are_part_of_it(self, client, recorded):
        """Figures of other parameters, formats and experiments have other tags."""
        location, _ = recorded
        addresses = [
            f"{location}/plots/weight.{rest}" for rest in ("png", "svg", "gif", "png?epoch=0", "png?scale=symlog")
        ]
        assert len({tag_of(client, address) for address in addresses}) == len(addresses)


class TestRevisionInAddress:
    def test_ended_experiment_has_immutable_addresses(self, client, recorded, sqlite):
        """Only an address with the token is immutable. The index writes it once the experiment has ended."""
        location, claim = recorded
        assert urls_of(client, location)["image/png"] == f"{location}/plots/loss.png"
        do(sqlite, claims.succeed, claim)
        address = urls_of(client, location)["image/png"]
        assert address.startswith(f"{location}/plots/loss.png?revision=")
        tagged, plain = client.head(address), client.head(f"{location}/plots/loss.png")
        assert tagged.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert plain.headers["cache-control"] == "private, no-cache"
        assert tagged.headers["etag"] == plain.headers["etag"]
        assert tagged.headers["content-location"] == plain.headers["content-location"] == address

    def test_old_token_is_404_with_the_present_address(self, client, recorded, sqlite):
        """A token that is no longer current is 404 and names the present address, whatever If-None-Match says."""
        location, claim = recorded
        do(sqlite, claims.fail, claim, "an error")
        old = urls_of(client, location, "weight")["image/png"] + "&scale=symlog"
        tag = client.head(old).headers["etag"]
        do(sqlite, queue.retry, 1)
        present = f"{location}/plots/weight.png?scale=symlog"
        for headers in ({}, {"if-none-match": tag}, {"if-none-match": "*"}):
            gone = client.get(old, headers=headers)
            assert problem(gone, 404)["detail"].endswith(f"its present address is {present}")
            assert gone.headers["cache-control"] == "private, no-cache"
        assert client.head(present).status_code == 200

    def test_comparison(self, client, recorded, sqlite):
        """A comparison's Content-Location has the token of all its experiments once all have ended."""
        _, claim = recorded
        address = "/plots/test-accuracy.svg?experiments=1"
        assert client.head(address).headers["content-location"] == address
        do(sqlite, claims.succeed, claim)
        present = client.head(address).headers["content-location"]
        assert present.startswith(f"{address}&revision=")
        assert "immutable" in client.head(present).headers["cache-control"]
        assert problem(client.get(f"{address}&revision=other"), 404)["detail"].endswith(present)


class TestLinks:
    def test_are_relative(self, client, recorded):
        """Location, links, the next page and the figures' addresses name neither a scheme nor a host."""
        posted = client.post("/experiments", json={"dataset": "digits"})
        page = client.get("/experiments?limit=1&status=queued").json()
        first = client.get("/experiments?limit=1").json()
        assert posted.headers["location"] == posted.json()["links"]["self"] == "/experiments/2"
        assert (page["next"], first["next"]) == (None, "/experiments?limit=1&cursor=2")
        for each in client.get("/experiments/1/plots").json()["plots"]:
            assert all(url.startswith("/experiments/1/plots/") for url in each["urls"].values())
