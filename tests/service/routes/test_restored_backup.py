"""A restored backup: other experiments get the addresses of lost ones, and none of their tags."""

import shutil

import pytest
from sqlalchemy import create_engine, make_url, text

from normlab.store import claims, records
from normlab.store.database import Database
from normlab.store.models import Experiment
from tests.experiments import claimed, do, enqueue
from tests.factories import record_of
from tests.service.clients import client_of

pytestmark = pytest.mark.slow

ADDRESSES = ("plots/loss.png", "plots/weight_gradient.gif", "plots/accuracy.svg", "layers")


@pytest.fixture
def copy(database, tmp_path, request):
    """Copies the database as it is, and returns the copy's address."""
    copies = []

    def make():
        database.close()
        if database.url.startswith("sqlite"):
            return f"sqlite:///{shutil.copy(make_url(database.url).database, tmp_path / 'copy.db')}"
        name = make_url(database.url).database
        copies.append(f"{name}_copy")
        _on_server(request, f"CREATE DATABASE {copies[0]} TEMPLATE {name}")
        return database.url.replace(f"/{name}?", f"/{copies[0]}?")

    yield make
    for name in copies:
        _on_server(request, f"DROP DATABASE {name} WITH (FORCE)")


def _on_server(request, statement):
    url = request.getfixturevalue("postgres").replace("postgresql://", "postgresql+psycopg://")
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(statement))
    server.dispose()


def train(url, seconds):
    """Post and train an experiment, and return the tags of its answers and the address of a figure."""
    database = Database(url)
    number = enqueue(database)
    claim = claimed(database)
    do(database, records.record, claim, record_of(0))
    with database.writing.begin() as session:  # the same counters and times, to the last digit
        experiment = session.get_one(Experiment, number)
        experiment.created_at, experiment.started_at = seconds, seconds
    do(database, claims.succeed, claim)
    database.close()
    with client_of(url) as client:
        tags = {name: client.head(f"/experiments/{number}/{name}").headers["etag"] for name in ADDRESSES}
        figure = client.get(f"/experiments/{number}/plots").json()["plots"][0]["urls"]["image/png"]
        return number, tags, figure


class TestRestoredBackup:
    def test_other_content_has_another_tag(self, database, copy):
        """An experiment posted after a restore has the number of a lost one, no tag of it, and not its token."""
        enqueue(database)
        do(database, claims.succeed, claimed(database))
        backup = copy()
        lost, lost_tags, lost_figure = train(database.url, 1.0)
        number, tags, figure = train(backup, 1.0)
        assert number == lost == 2
        for name in ADDRESSES:
            assert tags[name] != lost_tags[name], name
        assert figure != lost_figure
        with client_of(backup) as client:
            assert client.head(figure).status_code == 200
            gone = client.get(lost_figure, headers={"if-none-match": lost_tags["plots/loss.png"]})
            assert gone.status_code == 404
            assert gone.json()["detail"].endswith(figure)
