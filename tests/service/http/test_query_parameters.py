"""Query parameters: on every route, one that it does not have is refused, and so is one given twice."""

import re

import pytest

from service.app import create_app
from service.settings import ServiceSettings
from tests.service.clients import problem

PATHS = {"experiment_id": "1", "name": "weight", "suffix": "png", "split": "test", "group": "g", "asset": "start.js"}


def routes_of(app):
    """The routes that the modules have, with one value for each parameter of the path, and the names of their own."""
    documented = app.openapi()["paths"]
    for route in (route for included in app.routes for route in included.original_router.routes):
        path = re.sub(r"{(\w+)(:path)?}", lambda match: PATHS[match[1]], route.path)
        for method in route.methods:
            operation = documented.get(route.path_format, {}).get(method.lower(), {})
            names = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
            yield method, path, names


ROUTES = list(routes_of(create_app(ServiceSettings())))


class TestUnknown:
    def test_routes_are_all_of_them(self):
        """The search finds the routes of every kind."""
        assert {"/livez", "/docs", "/metrics", "/experiments/1/plots/weight.png", "/groups/g/pause"} <= {
            path for _, path, _ in ROUTES
        }
        assert len(ROUTES) >= 25

    @pytest.mark.parametrize(
        ("method", "path", "names"), ROUTES, ids=lambda part: part if isinstance(part, str) else ""
    )
    def test_is_refused_on_every_route(self, client, recorded, method, path, names):
        """Each route refuses a parameter that it does not have, and names those of its document."""
        response = client.request(method, f"{path}?nonsense=1", json={} if method in ("POST", "PATCH") else None)
        assert response.status_code == 422
        if method != "HEAD":
            (error,) = problem(response, 422)["errors"]
            assert (error["field"], error["got"]) == ("nonsense", '"1"')
            listed = error["expected"].partition(" has ")[2].split(", ")
            assert set(listed) == {"spec.FIELD" if name.startswith("spec.") else name for name in names} or {"none"}

    @pytest.mark.parametrize(
        ("path", "field", "expected"),
        [
            ("/experiments?normalisation=batch", "normalisation", "did you mean normalization?"),
            ("/experiments?learning_rate=0.1", "learning_rate", "did you mean spec.learning_rate?"),
            ("/experiments?spec.lerning_rate=0.1", "spec.lerning_rate", "did you mean spec.learning_rate?"),
            ("/experiments/1/plots/weight.png?step=1", "step", "This route has epoch, axis, scale"),
            ("/experiments/1?format=csv", "format", "This route has none"),
            ("/experiments/1/metrics?epoch=1", "epoch", "This route has format"),
            ("/experiments?=1", "query", "no parameter of this name"),
        ],
    )
    def test_is_named_with_the_closest(self, client, recorded, path, field, expected):
        """The problem names the parameter, the closest one that there is, and all of them."""
        (error,) = problem(client.get(path), 422)["errors"]
        assert error["field"] == field
        assert expected in error["expected"]

    def test_very_many_are_refused_quickly(self, client):
        """Of thousands of unknown parameters at most 20 are described."""
        many = "&".join(f"unknown{number}=1" for number in range(3000))
        assert len(problem(client.get(f"/experiments?{many}"), 422)["errors"]) == 20

    def test_changes_nothing(self, client, recorded):
        """A change with an unknown parameter is not made."""
        problem(client.delete("/experiments/1?forse=true"), 422)
        problem(client.post("/experiments?dry_run=true", json={}), 422)
        assert [row["id"] for row in client.get("/experiments").json()["experiments"]] == [1]


class TestRepeated:
    @pytest.mark.parametrize("path", ["/experiments?limit=1&limit=2", "/experiments/1/layers?epoch=0&epoch=1"])
    def test_single_value_given_twice(self, client, recorded, path):
        """A parameter of one value that is given twice is refused, with both values."""
        (error,) = problem(client.get(path), 422)["errors"]
        assert error["expected"] == "once, because it has one value"
        assert error["got"] in ('["1", "2"]', '["0", "1"]')


class TestUnused:
    @pytest.mark.parametrize(
        ("path", "field"),
        [
            ("plots/loss.png?epoch=1", "epoch"),
            ("plots/loss.svg?axis=fixed", "axis"),
            ("plots/accuracy.png?scale=linear", "scale"),
            ("plots/weight.gif?epoch=1", "epoch"),
            ("plots/summary.png?axis=free", "axis"),
            ("histograms?quantity=weight&binning=native&bins=10", "bins"),
        ],
    )
    def test_parameter_without_effect(self, client, recorded, path, field):
        """A parameter that would change nothing in the response is refused with the reason."""
        (error,) = problem(client.get(f"/experiments/1/{path}"), 422)["errors"]
        assert error["field"] == field
        assert len(error["expected"].split()) > 4
