"""The warnings of an experiment: what they are found from, and that they are stored with its records."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from normcore.engines import EngineChoice
from normlab.spec.lifecycle import StopReason
from normlab.store import claims, queue
from normlab.store.records import Capture
from tests.experiments import claimed, do, read
from tests.factories import histogram_of, metrics_of, record_of
from tests.worker.run.runs import StopsAtStep, enqueue, run_claim, run_next
from worker.run.find_warnings import Warnings, before_training, of_record

ZERO, SOME = histogram_of(np.zeros(9)), histogram_of(np.arange(9.0))
HOPELESS = {"learning_rate": 10.0, "normalization": "none", "gradient_check": False, "engine": "eager"}


def training_of(labels, *, batch_size=2, epochs=1, largest=1.0, **fields):
    """What the warnings read of a training whose images are in this order of classes."""
    labels = torch.tensor(labels)
    spec = SimpleNamespace(**({"dataset": "digits", "shuffle": True, "epochs": epochs} | fields))
    return SimpleNamespace(
        spec=spec,
        train=SimpleNamespace(labels=labels),
        test=SimpleNamespace(labels=labels),
        layers=[SimpleNamespace(output_shape=(2,))],
        optimizer=SimpleNamespace(state=lambda: {"v.0.weight": torch.tensor([1.0, largest**2])}),
        batches=lambda epoch: list(torch.split(torch.arange(len(labels)), batch_size)),
    )


def codes(warnings):
    return [(warning.code.value, warning.layer) for warning in warnings]


class TestOfRecord:
    @pytest.mark.parametrize(
        ("gradients", "expected"),
        [
            ((SOME, SOME), []),
            ((ZERO, ZERO), [("all_zero_gradients", None)]),
            ((SOME, ZERO), [("dead_layer", 2)]),
            ((replace(ZERO, nans=1), SOME), []),
        ],
    )
    def test_layers_whose_gradients_are_all_zero(self, gradients, expected):
        """A layer without a gradient is dead, and without any gradient nothing is trained."""
        histograms = {(layer, "weight_gradient"): each for layer, each in enumerate(gradients, start=1)}
        record = replace(record_of(0), captures=(Capture(0, 4, histograms),))
        assert codes(of_record(training_of([0, 1] * 50, epochs=9), record)) == expected

    def test_gradients_of_a_converged_training_may_be_zero(self):
        """Zero gradients are no warning once the loss is next to 0."""
        capture = Capture(0, 4, {(1, "weight_gradient"): ZERO})
        record = replace(record_of(0), captures=(capture,), metrics=metrics_of(0, train_loss=1e-4))
        assert codes(of_record(training_of([0, 1] * 50, epochs=9), record)) == []

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ({"train_loss": 0.6}, []),
            ({"train_loss": 0.6932}, [("loss_above_chance_at_end", None)]),
            ({"train_loss": 0.6, "train_accuracy": 0.62, "test_accuracy": 0.4}, [("nothing_learned", None)]),
            ({"train_loss": 0.6, "train_accuracy": 0.62, "test_accuracy": 0.64}, []),
            ({"train_loss": 0.6, "test_accuracy": 0.4}, [("test_at_chance", None)]),
        ],
    )
    def test_last_epoch_at_chance(self, changed, expected):
        """The last epoch's loss and accuracies are compared with those of guessing; earlier ones are not."""
        record = replace(
            record_of(0),
            captures=(),
            metrics=metrics_of(0, **({"train_accuracy": 0.9, "test_accuracy": 0.9} | changed)),
        )
        assert codes(of_record(training_of([0, 1] * 50), record)) == expected
        assert codes(of_record(training_of([0, 1] * 50, epochs=2), record)) == []

    def test_squares_of_gradients_that_overflow(self):
        """An optimizer whose averages overflow no longer trains some parameters."""
        training = training_of([0, 1], epochs=9, largest=torch.tensor(1e20))
        (warning,) = of_record(training, replace(record_of(3), captures=()))
        assert (warning.code, warning.epoch) == ("optimizer_overflow", 3)
        assert warning.message == "after step 4 the optimizer's v.0.weight is not finite"


class TestBeforeTraining:
    @pytest.mark.parametrize(
        ("labels", "fields", "expected"),
        [
            ([0, 1, 0, 1], {}, []),
            ([0, 0, 1, 1], {}, [("one_class_batches", None)]),
            ([0, 0, 0, 0], {"dataset": "folder", "shuffle": False}, []),
            ([0, 1, 0, 1], {"dataset": "folder", "shuffle": False}, [("folder_without_shuffling", None)]),
        ],
    )
    def test_order_of_the_classes(self, labels, fields, expected):
        """Batches of one class, and a folder in the order of its classes, are warned about."""
        choice = EngineChoice(None, "eager", "requested")
        assert codes(before_training(training_of(labels, **fields), choice)) == expected

    def test_engine_that_fell_back(self):
        """An engine that could not be used is warned about, with the reason."""
        choice = EngineChoice(None, "eager", "compiled was requested, but failed", fell_back=True)
        (warning,) = before_training(training_of([0, 1, 0, 1]), choice)
        assert (warning.code, warning.message) == ("engine_fell_back", "compiled was requested, but failed")


class TestWarnings:
    def test_are_given_once_for_each_layer(self):
        """A warning that was given before, also in an earlier attempt, is not new."""
        capture = Capture(0, 4, {(1, "weight_gradient"): ZERO, (2, "weight_gradient"): SOME})
        record = replace(record_of(0), captures=(capture,))
        found = list(of_record(training_of([0, 1], epochs=9), record))
        first = Warnings([])
        assert [first.add(found), first.add(found)] == [True, False]
        assert not Warnings(first.to_json()).add(found)


class TestStored:
    def test_hopeless_training_succeeds_with_warnings(self, sqlite, tmp_path):
        """Adam at learning rate 10 ends with zero gradients at the loss of chance, and the experiment says so."""
        number = enqueue(sqlite, epochs=2, **HOPELESS)
        experiment = run_next(sqlite, tmp_path)
        assert experiment.status == "succeeded"
        assert [each["code"] for each in experiment.warnings] == [
            "all_zero_gradients", "loss_above_chance_at_end", "nothing_learned",
        ]  # fmt: skip
        assert experiment.warnings[0]["epoch"] == 1
        with sqlite.writing.begin() as session:
            session.get_one(type(experiment), number).status = "failed"
        do(sqlite, queue.retry, number, from_start=True)
        assert read(sqlite, number).warnings == []

    def test_ordinary_training_has_none(self, sqlite, tmp_path):
        """A training that learns has no warning."""
        enqueue(sqlite, image_size=20, train_size=400, epochs=3, normalization="batch", gradient_check=False)
        assert run_next(sqlite, tmp_path).warnings == []

    def test_are_kept_when_another_attempt_resumes(self, sqlite, tmp_path):
        """The warnings of an attempt that was paused are those of the experiment, each once."""
        number = enqueue(sqlite, epochs=3, **HOPELESS)
        control = StopsAtStep(10, StopReason.RELEASE)
        paused = run_claim(sqlite, claimed(sqlite), tmp_path, control)
        assert [each["code"] for each in paused.warnings] == ["all_zero_gradients"]
        experiment = run_next(sqlite, tmp_path)
        assert experiment.warnings[0] == paused.warnings[0]
        assert len(experiment.warnings) == 3
        assert experiment.id == number

    def test_of_an_older_attempt_are_not_written(self, sqlite):
        """A claim that is no longer current writes no warning."""
        number = enqueue(sqlite)
        claim = claimed(sqlite)
        do(sqlite, claims.release, claim)
        with pytest.raises(claims.ClaimLost):
            do(sqlite, claims.store_warnings, claim, [{"code": "dead_layer", "message": "x"}])
        assert read(sqlite, number).warnings == []
