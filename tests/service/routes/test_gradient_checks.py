"""The route of a requested gradient check: refusals, the states of the request, and the result."""

from normlab.spec.gradient_check import RequestedGradientCheck
from normlab.store import claims, gradient_checks
from tests.experiments import do
from tests.service.clients import problem


class TestRequest:
    def test_is_refused_without_checkpoint_and_while_running(self, client, recorded):
        """A request needs a checkpoint and an experiment that does not run."""
        running, _ = recorded
        waiting = client.post("/experiments", json={"dataset": "digits"}).headers["location"]
        assert "is running" in problem(client.post(f"{running}/gradient-check"), 409)["detail"]
        assert "no checkpoint yet" in problem(client.post(f"{waiting}/gradient-check"), 409)["detail"]
        problem(client.post("/experiments/99/gradient-check"), 404)

    def test_is_queued_running_and_failed(self, client, recorded, sqlite):
        """The answer says whether the check waits, is taken or has failed, and why."""
        location, claim = recorded
        do(sqlite, claims.succeed, claim)
        address = client.get(location).json()["links"]["gradient-check"]
        assert "POST to this address" in problem(client.get(address), 404)["detail"]
        response = client.post(address)
        assert (response.status_code, response.json()["status"]) == (202, "queued")
        check = do(sqlite, gradient_checks.claim, worker="w", lease_seconds=30, max_attempts=2)
        assert client.get(address).json()["status"] == "running"
        do(sqlite, gradient_checks.fail, check, "no images")
        read = RequestedGradientCheck.model_validate_json(client.get(address).content)
        assert (read.status, read.error, read.worker, read.result) == ("failed", "no images", "w", None)
