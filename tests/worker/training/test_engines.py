"""Engines: the same training whichever runs it, to the bit whether somebody looks or not; a fallback says why."""

import time

import pytest
import torch

from normcore.engines import Compiled, CudaGraph, Eager, EngineUnavailable, choosing, compiled
from normcore.engines.engine import preserved
from normlab.spec.experiment import ExperimentSpec
from tests.factories import MIXED, RESIDUAL
from tests.worker.training.test_training import CPU, VARIANTS
from worker import datasets
from worker.training.capture import layers_to_capture
from worker.training.training import Training

SPEC = {"dataset": "digits", "image_size": 32, "train_size": 100, "test_size": 40, "epochs": 2, "init_std": 0.15}
ALL = ("weight_gradient", "input_gradient", "norm_output_gradient", "norm_input_gradient")


def has_compiler():
    try:
        compiled.check_compiler(CPU)
    except EngineUnavailable:
        return False
    return True


NETWORKS = {variant: {"normalization": variant, "affine": True} for variant in VARIANTS} | {
    "mixed": {"network": MIXED, "optimizer": "sgd", "sgd_nesterov": True},
    "residual": {"network": RESIDUAL, "normalization": "batch", "activation": "gelu", "weight_decay": 0.01},
    "original": {"normalization": "instance", "protocol": "original"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return datasets.load("digits", data_dir=tmp_path_factory.mktemp("x"), image_size=32, train_size=100, test_size=40)


@pytest.fixture
def traced(monkeypatch):
    """torch.compile as far as one graph of the whole step; no C++ is generated, which would take half a minute each."""
    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda run, options, **kept: whole(run, backend="aot_eager", **kept))


def of(data, **fields):
    training = Training(ExperimentSpec(**(SPEC | fields)), data, CPU)
    return training, layers_to_capture(training.layers, ALL), training.batches(0)


def after_steps(training, engine, batches, probe=None):
    losses = [float(engine(batch, probe).loss) for batch in batches]
    return losses, {name: tensor.clone() for name, tensor in training.network.parameters().items()}


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("fields", NETWORKS.values(), ids=NETWORKS)
def test_every_step_can_be_compiled_whole_and_trains_and_shows_the_same(data, fields):
    eager, looked, batches = of(data, **fields)
    whole, _, _ = of(data, **fields)
    shown = {"eager": {}, "compiled": {}}

    probes = {name: lambda place, passed, seen=seen: seen.update({place: passed}) for name, seen in shown.items()}
    losses, parameters = after_steps(eager, Eager(eager.step), batches[:2], probes["eager"])
    others, compiled_parameters = after_steps(whole, Compiled(whole.step, looked), batches[:2], probes["compiled"])

    assert others == pytest.approx(losses, rel=1e-4)
    for name, parameter in parameters.items():
        torch.testing.assert_close(compiled_parameters[name], parameter, rtol=1e-3, atol=1e-4)
    assert shown["compiled"].keys() == looked
    for place in looked:
        ours, theirs = shown["compiled"][place], shown["eager"][place]
        assert ours.dx.shape == theirs.dx.shape
        assert float((ours.dx - theirs.dx).norm()) < 1e-2 * float(theirs.dx.norm())
        assert ours.gradients.keys() == theirs.gradients.keys()


@pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler here")
@pytest.mark.parametrize("normalization", ["batch", "box_cox"])
def test_the_compiled_step_trains_the_same_to_the_bit_whether_somebody_looks_or_not(data, normalization):
    ends = []
    for probe in (None, lambda place, passed: None):
        training, looked, batches = of(data, normalization=normalization)
        ends.append(after_steps(training, Compiled(training.step, looked), [*batches, *batches], probe))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(ends[0][1][name], ends[1][1][name]) for name in ends[0][1])


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("normalization", ["batch", "range"])
def test_the_test_pass_is_the_same_whichever_engine_runs_it(data, normalization):
    training, looked, batches = of(data, normalization=normalization)
    engine = Compiled(training.step, looked)
    after_steps(training, engine, batches)
    for images in (data.test.images[:30], data.test.images[30:]):  # a whole batch, and a last smaller one
        torch.testing.assert_close(engine.infer(images), Eager(training.step).infer(images), rtol=1e-4, atol=1e-5)


def test_getting_ready_changes_nothing_of_the_training(data):
    training, _, batches = of(data, normalization="batch", network=RESIDUAL)
    tensors = {**training.network.parameters(), **training.network.buffers(), **training.optimizer.state()}
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    with preserved(training.step):
        Eager(training.step)(batches[0])
        assert not torch.equal(tensors["0.weight"], before["0.weight"])
        assert training.optimizer.steps == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors.items())
    assert training.optimizer.steps == 0


def test_a_short_training_is_not_compiled_and_says_so(data):
    training, _, _ = of(data)
    choice = training.ready("auto")
    assert choice.name == "eager"
    assert "compiled not tried: 10 steps of" in choice.reason


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("delay", "name"), [(0.0, "eager"), (0.05, "compiled")])
def test_auto_takes_whichever_is_measured_faster(data, monkeypatch, delay, name):
    training, _, _ = of(data, epochs=100_000)

    class Slowed(Eager):
        def __call__(self, indices, probe=None):
            time.sleep(delay)
            return super().__call__(indices, probe)

    class Compiling(Compiled):
        def __call__(self, indices, probe=None):
            time.sleep(0.02)
            return super().__call__(indices, probe)

    monkeypatch.setattr(choosing, "Eager", Slowed)
    monkeypatch.setattr(choosing, "Compiled", Compiling)
    choice = training.ready("auto")
    assert choice.name == name, choice.reason
    assert choice.reason.startswith("measured: eager")


def test_an_engine_that_is_not_at_hand_falls_back_to_eager_and_says_why(data, monkeypatch):
    training, _, _ = of(data)
    choice = training.ready("cuda_graph")
    assert (choice.name, choice.reason) == (
        "eager", "cuda_graph was asked for, but CUDA graphs need a CUDA device, not cpu",
    )  # fmt: skip
    monkeypatch.setattr(compiled.sysconfig, "get_path", lambda name: "/nowhere")
    monkeypatch.setattr(compiled.shutil, "which", lambda name: "/usr/bin/g++")
    choice = training.ready("compiled")
    assert choice.name == "eager"
    assert "Python's headers on the CPU, and /nowhere has none" in choice.reason
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    choice = training.ready("compiled")
    assert choice.name == "eager"
    assert "C++ compiler" in choice.reason
    with pytest.raises(EngineUnavailable, match="cpu"):
        CudaGraph(training.step, training.batches(0)[0])


def test_an_engine_that_breaks_falls_back_to_eager_and_says_how(data, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("the compiler crashed\nwith a long trace")

    monkeypatch.setattr(torch, "compile", broken)
    choice = of(data)[0].ready("compiled")
    assert choice.name == "eager"
    assert choice.reason == "compiled was asked for, but failed: RuntimeError: the compiler crashed"


def test_a_batch_that_is_not_whole_is_trained_too(data):
    training, _, _ = of(data, batch_size=30)
    training.ready("auto")
    record = training.run_epoch(lambda step, loss: None)
    assert training.optimizer.steps == 4
    assert record.metrics.train_loss is not None
    assert of(data, batch_size=200)[0].ready("compiled").reason == "there are fewer images than a batch takes"
