"""Engines: each trains the same, with and without a probe bit for bit, and a fallback says why."""

import time

import pytest
import torch

from normcore.engines import Compiled, CudaGraph, Eager, EngineUnavailable, choosing, compiled
from normcore.engines.engine import preserved
from normlab.spec.experiment import ExperimentSpec
from tests.factories import MIXED, RESIDUAL
from tests.worker.training.trainings import CPU, VARIANTS
from worker import datasets
from worker.training.capture import layers_to_capture
from worker.training.training import Training

pytestmark = pytest.mark.slow

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
    """torch.compile up to one graph of the whole step. Generating C++ as well would take half a minute each time."""
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda run, options, **rest: compile(run, backend="aot_eager", **rest))


def training_of(data, **fields):
    training = Training(ExperimentSpec(**(SPEC | fields)), data, CPU)
    return training, layers_to_capture(training.layers, ALL), training.batches(0)


def after_steps(training, engine, batches, probe=None):
    losses = [float(engine(batch, probe).loss) for batch in batches]
    return losses, {name: tensor.clone() for name, tensor in training.network.parameters().items()}


class TestCompiled:
    @pytest.mark.usefixtures("traced")
    @pytest.mark.parametrize("fields", NETWORKS.values(), ids=NETWORKS)
    def test_step_is_compiled_whole_and_equals_eager(self, data, fields):
        """Every network's step compiles to one graph, and its results and captured gradients equal the eager ones."""
        eager, captured, batches = training_of(data, **fields)
        whole, _, _ = training_of(data, **fields)
        observed = {"eager": {}, "compiled": {}}

        probes = {
            name: lambda index, layer_gradients, layers=layers: layers.update({index: layer_gradients})
            for name, layers in observed.items()
        }
        losses, parameters = after_steps(eager, Eager(eager.step), batches[:2], probes["eager"])
        others, compiled_parameters = after_steps(
            whole, Compiled(whole.step, captured), batches[:2], probes["compiled"]
        )

        assert others == pytest.approx(losses, rel=1e-4)
        for name, parameter in parameters.items():
            torch.testing.assert_close(compiled_parameters[name], parameter, rtol=1e-3, atol=1e-4)
        assert observed["compiled"].keys() == captured
        for index in captured:
            ours, theirs = observed["compiled"][index], observed["eager"][index]
            assert ours.dx.shape == theirs.dx.shape
            assert float((ours.dx - theirs.dx).norm()) < 1e-2 * float(theirs.dx.norm())
            assert ours.gradients.keys() == theirs.gradients.keys()

    @pytest.mark.skipif(not has_compiler(), reason="this machine has no C++ compiler")
    @pytest.mark.parametrize("normalization", ["batch", "box_cox"])
    def test_probe_changes_no_bit_of_the_training(self, data, normalization):
        """The compiled step trains the same, bit for bit, with and without a probe."""
        ends = []
        for probe in (None, lambda index, layer_gradients: None):
            training, captured, batches = training_of(data, normalization=normalization)
            ends.append(after_steps(training, Compiled(training.step, captured), [*batches, *batches], probe))
        assert ends[0][0] == ends[1][0]
        assert all(torch.equal(ends[0][1][name], ends[1][1][name]) for name in ends[0][1])

    @pytest.mark.usefixtures("traced")
    @pytest.mark.parametrize("normalization", ["batch", "range"])
    def test_test_logits_equal_eagers(self, data, normalization):
        """The compiled test pass gives the eager one's logits, for a smaller last batch too."""
        training, captured, batches = training_of(data, normalization=normalization)
        engine = Compiled(training.step, captured)
        after_steps(training, engine, batches)
        for images in (data.test.images[:30], data.test.images[30:]):  # a full batch, and a smaller last one
            torch.testing.assert_close(
                engine.test_logits(images), Eager(training.step).test_logits(images), rtol=1e-4, atol=1e-5
            )


class TestChoose:
    def test_preserved_restores_the_training(self, data):
        """What preserved() surrounds changes nothing of the training."""
        training, _, batches = training_of(data, normalization="batch", network=RESIDUAL)
        tensors = {**training.network.parameters(), **training.network.buffers(), **training.optimizer.state()}
        before = {name: tensor.clone() for name, tensor in tensors.items()}
        with preserved(training.step):
            Eager(training.step)(batches[0])
            assert not torch.equal(tensors["0.weight"], before["0.weight"])
            assert training.optimizer.steps == 1
        assert all(torch.equal(tensor, before[name]) for name, tensor in tensors.items())
        assert training.optimizer.steps == 0

    def test_rule_reads_the_device_and_the_estimate_alone(self):
        """ "auto" is cuda_graph on CUDA, and on a CPU compiled if the estimate is above the limit."""
        names = {
            (device, seconds): choosing.rule(torch.device(device), seconds)[0]
            for device in ("cpu", "cuda", "mps")
            for seconds in (60.0, 60.1)
        }
        assert names == {
            ("cpu", 60.0): "eager", ("cpu", 60.1): "compiled", ("cuda", 60.0): "cuda_graph",
            ("cuda", 60.1): "cuda_graph", ("mps", 60.0): "eager", ("mps", 60.1): "eager",
        }  # fmt: skip

    def test_short_training_is_not_compiled(self, data):
        """A training too short to gain from compiling stays eager, and the reason says so."""
        choice = training_of(data)[0].ready("auto")
        assert (choice.name, choice.fell_back) == ("eager", False)
        assert choice.reason == "auto is eager up to 60 s: the eager steps are estimated at 0.0 s on one core"

    @pytest.mark.usefixtures("traced")
    def test_auto_does_not_depend_on_speed(self, data, monkeypatch):
        """ "auto" takes the same engine however slow its steps are, so that load does not change a result."""

        class SlowCompiled(Compiled):
            def __call__(self, indices, probe=None):
                time.sleep(0.3)
                return super().__call__(indices, probe)

        reasons = set()
        for engine in (Compiled, SlowCompiled):
            monkeypatch.setattr(choosing, "Compiled", engine)
            training, _, _ = training_of(data, epochs=100_000)
            reasons.add((training.ready("auto").name, training.ready("auto").reason))
        assert [name for name, _ in reasons] == ["compiled"]

    def test_part_of_a_training_does_not_change_the_choice(self, data, monkeypatch):
        """A training that resumes before its last steps has the engine that it would have from the start."""
        monkeypatch.setattr(choosing, "Compiled", lambda step, captured: Eager(step))
        training, _, _ = training_of(data, epochs=100_000)
        before = training.ready("auto").reason
        training.optimizer.steps = 100_000 * training.steps_per_epoch - 1
        assert training.ready("auto").reason == before

    def test_unavailable_engine_falls_back_to_eager(self, data, monkeypatch):
        """An engine that this machine cannot run is replaced by the eager one, and the reason says why."""
        training, _, _ = training_of(data)
        choice = training.ready("cuda_graph")
        assert (choice.name, choice.reason) == (
            "eager", "cuda_graph was requested, but CUDA graphs need a CUDA device, not cpu",
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

    def test_failing_engine_falls_back_to_eager(self, data, monkeypatch):
        """An engine that fails is replaced by the eager one, and the reason names the error."""

        def broken(*args, **options):
            raise RuntimeError("the compiler crashed\nwith a long trace")

        monkeypatch.setattr(torch, "compile", broken)
        choice = training_of(data)[0].ready("compiled")
        assert choice.name == "eager"
        assert choice.reason == "compiled was requested, but failed: RuntimeError: the compiler crashed"
        assert choice.fell_back
        choice = training_of(data, epochs=100_000)[0].ready("auto")
        assert choice.reason == "compiled was chosen by auto, but failed: RuntimeError: the compiler crashed"
        assert choice.fell_back


class TestReady:
    def test_batch_that_is_not_full_is_trained_too(self, data):
        """A last batch that is not full is trained eagerly."""
        training, _, _ = training_of(data, batch_size=30)
        training.ready("auto")
        record = training.run_epoch(lambda step, loss: None)
        assert training.optimizer.steps == 4
        assert record.metrics.train_loss is not None
        assert (
            training_of(data, batch_size=200)[0].ready("compiled").reason
            == "there are fewer images than one full batch"
        )
