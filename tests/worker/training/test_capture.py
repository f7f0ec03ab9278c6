"""Captures: they hold what their names say and change nothing of the training. The metrics of an epoch."""

import pytest
import torch

from normcore.network import LayerGradients
from normlab.spec.experiment import ExperimentSpec
from normlab.store.histograms import SCALARS
from tests.factories import histogram_of
from tests.worker.training.trainings import CPU, SMALL, VARIANTS, trained
from worker.training.capture import LayerCapture
from worker.training.training import Training


class TestCapture:
    @pytest.mark.parametrize("normalization", VARIANTS)
    def test_captures_change_nothing_of_the_training(self, data, normalization):
        """The training ends the same, bit for bit, however often its layers are captured."""
        last = [
            trained(data, normalization=normalization, **captures)[1][-1].checkpoint
            for captures in (
                {"capture_every": 1000},
                {"capture_every": 1},
                {"capture_every": 1, "capture_unit": "step"},
                {"capture_every": 1, "capture_moment": "after_updates"},
            )
        ]
        assert last == [last[0]] * 4

    def test_epochs_are_captured_at_every_interval(self, data):
        """The first and the last epoch and every interval between are captured."""
        _, records = trained(data, epochs=6, capture_every=2)
        assert [capture.epoch for record in records for capture in record.captures] == [0, 2, 4, 5]
        _, records = trained(data, epochs=1, capture_every=2, capture_unit="step")
        assert [capture.step for capture in records[0].captures] == [2, 4]

    def test_each_quantity_is_what_its_name_says(self, data):
        """The captured quantities are the weights, gradients and updates of the last step."""
        training = Training(ExperimentSpec(**SMALL, normalization="batch"), data, CPU)
        for _ in range(4):
            before = {index: weight.clone() for index, weight in training.weights.items()}
            (record,) = [training.run_epoch(lambda step, loss: None)]
        histograms = record.captures[0].histograms
        assert {layer for layer, quantity in histograms if quantity == "weight_gradient"} == {1, 2, 3, 4, 5, 6}
        assert {layer for layer, quantity in histograms if quantity == "norm_input_gradient"} == {1, 2, 3, 4, 5}
        for layer, (index, weight) in enumerate(training.weights.items(), 1):
            total = {name: total_of(histograms[layer, name]) for number, name in histograms if number == layer}
            assert histograms[layer, "weight"].count == weight.numel()
            # At the last step: the weights at which the gradient was computed, and what the optimizer added to them.
            assert total["weight"] + total["update"] == pytest.approx(float(weight.double().sum()), abs=1e-4)
            assert total["weight_minus_gradient"] == pytest.approx(total["weight"] - total["weight_gradient"], abs=1e-4)
            assert not torch.equal(weight, before[index])
            assert 0 < abs(histograms[layer, "update"].maximum) < 0.01
        assert histograms[1, "input_gradient"].count == 10 * 3 * 20 * 20  # the last batch has 10 of the 90 images
        assert (
            abs(total_of(histograms[3, "norm_input_gradient"])) < 1e-4
        )  # a normalization's backward pass removes the mean

    def test_capture_holds_the_histogram_of_the_values(self):
        """A capture of values holds their histogram."""
        values = torch.tensor([0.0, -0.0, 0.0, 1e-45, -1e-45, 0.5, -0.5, torch.nan, torch.inf, -torch.inf, 3e38])
        (layer,) = [layer for layer in ExperimentSpec().layer_shapes() if layer.layer == 1][:1]
        capture = LayerCapture([layer], ["input_gradient"])
        capture(0, LayerGradients(values, values, {"weight": values}, None))
        (histogram,) = capture.fetch(0, 1).histograms.values()
        expected = histogram_of(values.numpy())
        assert histogram.layout == expected.layout
        assert histogram.patterns.tolist() == expected.patterns.tolist()
        assert histogram.counts.tolist() == expected.counts.tolist()
        for field in SCALARS:
            assert getattr(histogram, field) == pytest.approx(getattr(expected, field), rel=1e-15), field

    def test_computes_nothing_for_a_quantity_not_captured(self):
        """A difference of weights is computed only if its quantity is captured."""
        (layer,) = [layer for layer in ExperimentSpec().layer_shapes() if layer.layer == 1][:1]
        capture = LayerCapture([layer], ["weight"])
        capture.capture_weights({0: torch.ones(3)}, {})  # the gradients are not read
        capture.capture_updates({}, {0: torch.ones(3)})  # nor are the weights before
        assert [quantity for _, quantity in capture.fetch(0, 1).histograms] == ["weight"]


def total_of(histogram):
    """The sum of a histogram's finite values."""
    return histogram.mean * histogram.finite


class TestMetrics:
    def test_loss_and_accuracy_are_means_over_images(self, data):
        """Loss and accuracy are means over the images and not over the batches."""
        training = Training(ExperimentSpec(**SMALL, learning_rate=1e-12), data, CPU)  # weights that hardly move
        record = training.run_epoch(lambda step, loss: None)
        inference = training.network.for_inference()
        logits = inference.logits(data.train.images.float() / 255)
        loss = torch.nn.functional.cross_entropy(logits, data.train.labels)
        assert record.metrics.train_loss == pytest.approx(float(loss), rel=1e-5)
        assert record.metrics.train_accuracy == float((logits.argmax(1) == data.train.labels).double().mean())
        logits = inference.logits(data.test.images.float() / 255)
        assert record.metrics.test_accuracy == float((logits.argmax(1) == data.test.labels).double().mean())
