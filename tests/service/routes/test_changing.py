"""The verbs that change an experiment or a group: each does what it says, or the response says why not."""

from normlab.spec.responses import AttemptsResponse, CheckpointResponse, ExperimentResponse, GroupPage, GroupResponse
from normlab.store import claims
from tests.experiments import do
from tests.service.clients import problem


class TestVerbs:
    def test_cancel_retry_and_delete(self, client, recorded):
        """An experiment is cancelled, retried and deleted, unless its state does not allow it."""
        location, _ = recorded
        assert "is running" in problem(client.delete(location), 409)["detail"]
        assert "only a failed or cancelled" in problem(client.post(f"{location}/retry"), 409)["detail"]
        other = client.post("/experiments", json={}).headers["location"]
        assert client.post(f"{other}/cancel").json()["status"] == "cancelled"
        problem(client.post(f"{other}/cancel"), 409)
        assert client.post(f"{other}/retry").json()["status"] == "queued"
        assert client.delete(other).status_code == 204
        problem(client.get(other), 404)

    def test_priority(self, client, recorded):
        """The priority of a queued experiment changes; that of a running one does not, and a text is none."""
        running, _ = recorded
        waiting = client.post("/experiments", json={"dataset": "digits", "priority": 2}).headers["location"]
        assert client.patch(waiting, json={"priority": -3}).json()["priority"] == -3
        assert "running" in problem(client.patch(running, json={"priority": 1}), 409)["detail"]
        assert problem(client.patch(waiting, json={"priority": "1"}), 422)["errors"][0]["field"] == "priority"
        assert client.get(waiting).json()["spec"]["priority"] == -3

    def test_name_and_tags(self, client, recorded):
        """Name and tags change in any state; the spec and the list have the new ones; null removes the name."""
        running, _ = recorded
        changed = client.patch(running, json={"name": "Neu", "tags": ["b", "a"]})
        assert ExperimentResponse.model_validate_json(changed.content).name == "Neu"
        assert changed.json() == client.get(running).json()
        assert (changed.json()["spec"]["name"], changed.json()["spec"]["tags"]) == ("Neu", ["b", "a"])
        for query in ("name=neu", "tag=a&tag=b", "spec.name=Neu"):
            assert len(client.get(f"/experiments?{query}").json()["experiments"]) == 1
        assert client.patch(running, json={"name": None}).json()["spec"]["name"] is None
        assert client.patch(running, json={"tags": []}).json()["tags"] == []
        for query in ("name=neu", "tag=a"):
            assert client.get(f"/experiments?{query}").json()["experiments"] == []

    def test_all_or_nothing(self, client, recorded):
        """A change of which one part is refused changes nothing, and so does an empty or an impossible one."""
        running, _ = recorded
        problem(client.patch(running, json={"name": "x", "priority": 1}), 409)
        for body in ({}, {"tags": None}, {"priority": None}, {"seed": 1}, {"name": "\uffff"}):
            problem(client.patch(running, json=body), 422)
        assert "at least one of name, tags, priority" in client.patch(running, json={}).json()["detail"]
        assert client.get(running).json()["name"] is None
        waiting = client.post("/experiments", json={"dataset": "digits"}).headers["location"]
        body = client.patch(waiting, json={"name": "x", "tags": ["t"], "priority": 7}).json()
        assert (body["name"], body["tags"], body["priority"], body["spec"]["priority"]) == ("x", ["t"], 7, 7)
        problem(client.patch("/experiments/99", json={"name": "x"}), 404)

    def test_pause_and_resume(self, client):
        """A queued experiment is paused, listed as paused, and resumed."""
        waiting = client.post("/experiments", json={"dataset": "digits"}).headers["location"]
        assert client.post(f"{waiting}/pause").json()["status"] == "paused"
        assert [row["id"] for row in client.get("/experiments?status=paused").json()["experiments"]] == [1]
        assert client.post(f"{waiting}/resume").json()["status"] == "queued"

    def test_delete_of_a_running_one_needs_force(self, client, recorded):
        """A running experiment is deleted with force=true alone."""
        location, _ = recorded
        assert "delete it with force=true" in problem(client.delete(location), 409)["detail"]
        assert client.delete(f"{location}?force=true").status_code == 204
        problem(client.get(location), 404)

    def test_retry_from_the_start(self, client, recorded, sqlite):
        """A retry from the start has no epochs and no records."""
        location, claim = recorded
        do(sqlite, claims.fail, claim, "it broke")
        assert client.post(f"{location}/retry?from_start=true").json()["progress"]["epochs_done"] == 0
        assert client.get(f"{location}/metrics").json() == {"metrics": []}


class TestGroups:
    def test_pause_and_resume(self, client, recorded):
        """The experiments of a group are paused and resumed, and their numbers returned; a slash may be in its name."""
        client.post("/experiments", json={"dataset": "digits", "group": "a/1"})
        assert client.post("/groups/a/1/pause").json() == {"experiments": [2]}
        assert client.get("/experiments?group=a/1").json()["experiments"][0]["status"] == "paused"
        response = client.post("/groups/a/1/resume")
        assert response.json() == {"experiments": [2]}
        assert GroupResponse.model_validate_json(response.content, strict=True).experiments == [2]

    def test_list(self, client, recorded):
        """The groups are listed in pages with the number of their experiments in each state."""
        for group, status in (("b", None), ("a&c", "cancel"), ("b", "pause"), ("b", None)):
            location = client.post("/experiments", json={"dataset": "digits", "group": group}).headers["location"]
            if status:
                client.post(f"{location}/{status}")
        response = client.get("/groups?limit=2")
        page = GroupPage.model_validate_json(response.content)
        assert [(group.group, group.experiments) for group in page.groups] == [(None, 1), ("a&c", 1)]
        assert (page.groups[0].statuses["running"], page.groups[1].statuses["cancelled"]) == (1, 1)
        (last,) = client.get(page.next).json()["groups"]
        assert (last["group"], last["experiments"]) == ("b", 3)
        expected = {"queued": 2, "running": 0, "paused": 1, "succeeded": 0, "failed": 0, "cancelled": 0}
        assert last["statuses"] == expected

    def test_unknown_group(self, client):
        """A group without experiments is a 404 problem."""
        assert "no group 'b'" in problem(client.post("/groups/b/pause"), 404)["detail"]


class TestAttempts:
    def test_pause_of_a_running_one_ends_its_attempt(self, client, recorded, sqlite):
        """A pause of a running experiment is a request to its worker, and the attempt ends as paused."""
        running, claim = recorded
        assert client.post(f"{running}/pause").json()["requested_action"] == "pause"
        do(sqlite, claims.release, claim)
        response = client.get(f"{running}/attempts")
        (attempt,) = response.json()["attempts"]
        assert (attempt["attempt"], attempt["worker"], attempt["outcome"]) == (1, "w", "paused")
        assert AttemptsResponse.model_validate_json(response.content, strict=True).attempts[0].outcome == "paused"

    def test_unknown_experiment(self, client):
        """The attempts of an unknown experiment are a 404 problem."""
        problem(client.get("/experiments/99/attempts"), 404)


class TestCheckpoint:
    def test_step_and_hash(self, client, recorded):
        """The newest checkpoint's step, size and hash are shown."""
        running, _ = recorded
        response = client.get(f"{running}/checkpoint")
        stored = response.json()
        assert (stored["step"], len(stored["sha256"])) == (2, 64)
        assert CheckpointResponse.model_validate_json(response.content, strict=True).bytes == len("state after 1")

    def test_before_the_first(self, client):
        """An experiment without a checkpoint is a 409 problem."""
        waiting = client.post("/experiments", json={"dataset": "digits"}).headers["location"]
        problem(client.get(f"{waiting}/checkpoint"), 409)
