"""Lists of experiments on both kinds of database: filters, orders and pages."""

from itertools import islice

import pytest
from sqlalchemy import update

from normlab.spec.lifecycle import Status
from normlab.store import claims, labels, queue
from normlab.store.listing import SORT_KEYS, Filter, Order, list_ids, summaries, tags_of, whole_experiments
from normlab.store.models import Experiment
from tests.experiments import claimed, do, enqueue, read

ASCENDING = Order("id", descending=False)


def listed(database, chosen=Filter(), order=ASCENDING, *, limit=10, after=None):  # noqa: B008 — frozen
    """The ids of a page, and its end if more follow."""
    with database.reading() as session:
        return list_ids(session, chosen, order, limit=limit, after=after)


def ids_of(database, **chosen):
    """The ids of the experiments that match a filter."""
    return listed(database, Filter(**chosen))[0]


def pages(database, order, *, limit=2, between=None):
    """The ids of all pages, one after the other. between: called after each page."""
    ids, end = listed(database, order=order, limit=limit)
    while end is not None:
        if between is not None:
            between()
        more, end = listed(database, order=order, limit=limit, after=end)
        ids += more
    return ids


def set_columns(database, number, **values):
    """Set columns of an experiment."""
    with database.writing.begin() as session:
        session.execute(update(Experiment).where(Experiment.id == number).values(**values))


class TestFilter:
    def test_matches_every_value(self, database):
        """A list has the experiments that match every given value."""
        enqueue(database, tags=["a", "b"], group="g")
        enqueue(database, tags=["b"], normalization="batch", seed=2**32 - 1)
        enqueue(database, dataset="synthetic")
        claimed(database)
        assert ids_of(database) == [1, 2, 3]
        assert ids_of(database, tags=("b",)) == [1, 2]
        assert ids_of(database, tags=("b", "a")) == [1]
        assert ids_of(database, tags=("b",), normalization="batch") == [2]
        assert ids_of(database, dataset="synthetic") == [3]
        assert ids_of(database, group="g") == [1]
        assert ids_of(database, seed=2**32 - 1) == [2]
        (running,) = ids_of(database, status=Status.RUNNING)
        assert running not in ids_of(database, status=Status.QUEUED)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("straße", [1]),
            ("STRASSE", [1]),
            ("a\u0301", [2]),
            ("Á", [2]),
            ("%", [3]),
            ("_", [3]),
            ("/", [3]),
            ("x", []),
        ],
    )
    def test_name_in_any_case(self, database, text, expected):
        """The text is found in upper or lower case, in composed or decomposed characters, and without wildcards."""
        for name in ("Straße", "á la", "1/2 50%_", None):
            enqueue(database, name=name)
        assert ids_of(database, name=text) == expected

    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("learning_rate", 0.1 + 0.2, [1]), ("learning_rate", 0.3, []), ("learning_rate", 5e-324 * 3, []),
            ("epochs", 3, [1]), ("shuffle", False, [1]), ("shuffle", True, [2]), ("device", "cpu", [1]),
            ("seed", 2**32 - 1, [1]), ("max_run_seconds", None, [2]), ("max_run_seconds", 60.0, [1]),
            ("folder", None, [1, 2]), ("name", "'; --", [1]), ("init_std", 0.05, [1, 2]),
        ],
    )  # fmt: skip
    def test_any_field_of_the_spec(self, database, field, value, expected):
        """Numbers are compared to their last bit; null matches a field without a value."""
        enqueue(
            database, learning_rate=0.1 + 0.2, epochs=3, shuffle=False, device="cpu", seed=2**32 - 1,
            max_run_seconds=60, name="'; --",
        )  # fmt: skip
        enqueue(database)
        assert ids_of(database, spec={field: value}) == expected

    def test_spec_of_an_older_release(self, database):
        """A spec that lacks a field has the field's default, as its response shows."""
        number = enqueue(database)
        spec = read(database, number).spec
        del spec["memory"], spec["folder"]
        set_columns(database, number, spec=spec)
        assert ids_of(database, spec={"memory": "standard", "folder": None}) == [1]
        assert ids_of(database, spec={"memory": "recompute"}) == []


class TestOrder:
    def test_of_ids(self, database):
        """A page begins after the given end, in either direction, and tells its own end if more follow."""
        for _ in range(4):
            enqueue(database)
        ids, end = listed(database, limit=3)
        assert (ids, end.id, end.value) == ([1, 2, 3], 3, None)
        assert listed(database, limit=3, after=end) == ([4], None)
        ids, end = listed(database, order=Order(), limit=2)
        assert ids == [4, 3]
        assert listed(database, order=Order(), limit=2, after=end) == ([2, 1], None)

    @pytest.mark.parametrize("key", [key for key in SORT_KEYS if key != "id"])
    def test_without_a_value_last(self, database, key):
        """Experiments without a value come last in both directions, and equal values in the order of ids."""
        for number, value in enumerate((2, 0, 1, None, 2, None, 1), 1):
            enqueue(database)
            set_columns(database, number, **self._columns(key, value))
        if key == "created_at":  # always has a value
            assert pages(database, Order(key, descending=False)) == [2, 4, 6, 3, 7, 1, 5]
            return
        assert pages(database, Order(key, descending=False)) == [2, 3, 7, 1, 5, 4, 6]
        assert pages(database, Order(key, descending=True)) == [5, 1, 7, 3, 2, 6, 4]

    @staticmethod
    def _columns(key, value):
        match key:
            case "name":
                return {"name_folded": None if value is None else f'{value},"ü'}
            case "duration":
                return {"started_at": 5.0, "ended_at": None if value is None else 5.0 + value / 3}
            case "created_at":
                return {"created_at": (value or 0) / 3}
        return {key: None if value is None else value / 3}

    def test_names_by_code_points(self, database):
        """Names are sorted without upper case, by code points, on every kind of database."""
        for name in ("b", "a b", "aB", "A-c", "É", None):
            enqueue(database, name=name)
        assert pages(database, Order("name", descending=False)) == [2, 4, 3, 1, 5, 6]

    @pytest.mark.parametrize("descending", [False, True])
    def test_pages_stay_right_while_rows_are_added(self, database, descending):
        """Experiments that are added, changed or deleted between two pages neither repeat nor hide others."""
        for accuracy in (0.1, 0.3, None, 0.3, 0.2, 0.3):
            set_columns(database, enqueue(database), best_test_accuracy=accuracy)
        order = Order("best_test_accuracy", descending=descending)

        added = iter((0.0, 0.3, 1.0, None))

        def disturb():
            for accuracy in islice(added, 1):
                set_columns(database, enqueue(database), best_test_accuracy=accuracy)

        seen = pages(database, order, limit=1, between=disturb)
        first = [number for number in seen if number <= 6]
        assert first == ([6, 4, 2, 5, 1, 3] if descending else [1, 5, 2, 4, 6, 3])
        assert len(seen) == len(set(seen))

    def test_end_is_valid_without_its_row(self, database):
        """A page can follow one whose last experiment was deleted or has another value now."""
        for accuracy in (0.3, 0.2, 0.1):
            set_columns(database, enqueue(database), best_test_accuracy=accuracy)
        order = Order("best_test_accuracy")
        _, end = listed(database, order=order, limit=2)
        set_columns(database, 2, best_test_accuracy=0.05)
        assert listed(database, order=order, after=end)[0] == [3, 2]
        do(database, queue.remove, 2)
        assert listed(database, order=order, after=end)[0] == [3]


class TestRows:
    def test_follow_the_ids(self, database):
        """Rows come in the order of the ids. An experiment that was deleted meanwhile is left out."""
        for number in range(3):
            enqueue(database, tags=["b", "a", "b"] if number == 2 else [])
        do(database, queue.remove, 2)
        with database.reading() as session:
            assert [row.id for row in summaries(session, [3, 2, 1])] == [3, 1]
            assert [experiment.id for experiment in whole_experiments(session, [1, 2, 3])] == [1, 3]
            assert tags_of(session, [3, 1]) == {3: ["a", "b"], 1: []}


class TestLabels:
    def test_change_in_any_state(self, database):
        """Name and tags of a running and of an ended experiment change, in the columns and in the spec."""
        number = enqueue(database, name="old", tags=["x", "y"])
        claim = claimed(database)
        do(database, labels.rename, number, "NEW")
        do(database, labels.retag, number, ["y", "z", "y"])
        do(database, claims.succeed, claim)
        assert ids_of(database, name="new", tags=("y", "z"), spec={"name": "NEW"}) == [1]
        assert ids_of(database, tags=("x",)) == ids_of(database, name="old") == []
        assert read(database, number).spec["tags"] == ["y", "z", "y"]
        do(database, labels.rename, number, None)
        experiment = read(database, number)
        assert (experiment.name, experiment.name_folded, experiment.spec["name"]) == (None, None, None)

    def test_several_changes_in_one_transaction(self, database):
        """Several changes of one transaction are all kept."""
        number = enqueue(database)
        with database.writing.begin() as session:
            queue.prioritize(session, number, 5)
            labels.rename(session, number, "n")
            labels.retag(session, number, ["t"])
        spec = read(database, number).spec
        assert (spec["priority"], spec["name"], spec["tags"]) == (5, "n", ["t"])
