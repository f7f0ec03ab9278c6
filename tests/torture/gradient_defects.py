"""`python -m tests.torture.gradient_defects`: plant one defect at a time in a copy of normcore, and run an experiment.

The worker's own run must fail by its gradient check before it trains, and without a defect every experiment must
succeed. No test takes part. Every run is a process of its own, forked from one that has imported torch alone.
"""

import multiprocessing
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from normlab.process.command_line import CommandParser
from normlab.process.progress import ProgressLines
from tests.torture.defects import planted

ROOT = Path(__file__).parents[2]
COPIED = ("normcore", "normlab", "worker", "migrations")
SMALL = {"dataset": "digits", "image_size": 20, "train_size": 60, "test_size": 40, "epochs": 1, "engine": "eager"}
POOLED = [{"kind": "convolution", "channels": 8}, {"kind": "activation"}, {"kind": "average_pool", "size": 3}]
VARIANTS = ("none", "batch", "layer", "instance", "box_cox")  # of the study, whose check is timed
HEAD = [{"kind": "linear", "features": 10}]


@dataclass(frozen=True)
class Defect:
    """name: what is wrong. before: a text that occurs once in the file, replaced by after. fields: the experiment's."""

    name: str
    file: str
    before: str
    after: str
    fields: dict[str, Any] = field(default_factory=dict)


DEFECTS = [
    Defect(
        "the first layer's weight gradient is doubled in training",
        "normcore/layers/convolution.py",
        "self._gradients(dout, self._backward(dout, cache, [False, True, False])[1])",
        "self._gradients(dout, 2 * self._backward(dout, cache, [False, True, False])[1])",
    ),
    Defect(
        "the mean over all positions is not the mean, though its derivative is",
        "normcore/layers/global_average_pool.py",
        "return x.mean((-2, -1)), x.shape",
        "return x.mean((-2, -1)) + x.detach().amax((-2, -1)), x.shape",
    ),
    Defect(
        "running means never move",
        "normcore/layers/running_statistics.py",
        "self.mean.lerp_(batch.mean, 1 - self.momentum)",
        "self.mean.lerp_(batch.mean, 0.0)",
        {"normalization": "batch"},
    ),
    Defect(
        "the test pass returns 0",
        "normcore/step.py",
        "return self._inference.logits(scaled(images, self._dtype))",
        "return 0 * self._inference.logits(scaled(images, self._dtype))",
    ),
    Defect(
        "a normalization's derivative lacks the mean of dout",
        "normcore/layers/standardization.py",
        "(dout - mean_dout - out * mean_dout_out)",
        "(dout - out * mean_dout_out)",
        {"normalization": "batch"},
    ),
    Defect(
        "Adam does not correct its averages",
        "normcore/optimizers/adam.py",
        "return [rate, 1 / (1 - self.beta1**power), 1 / (1 - self.beta2**power)]",
        "return [rate, 1.0, 1.0]",
    ),
    Defect(
        "weight decay has the wrong sign",
        "normcore/optimizers/weight_decay.py",
        "mul_(1 - learning_rate * self.rate)",
        "mul_(1 + learning_rate * self.rate)",
        {"weight_decay": 0.01},
    ),
    Defect(
        "recomputation returns a normalization's input",
        "normcore/layers/batch_norm.py",
        "return cache.out()",
        "return cache.x",
        {"normalization": "batch", "memory": "recompute"},
    ),
    Defect(
        "the odd zero of SAME padding is at the top left",
        "normcore/layers/convolution.py",
        "return total // 2, total - total // 2",
        "return total - total // 2, total // 2",
    ),
    Defect(
        "a step with a capture updates running statistics twice",
        "normcore/engines/eager.py",
        "        return self.step(indices, self.step",
        "        _ = probe and self.step.gradients(indices)\n        return self.step(indices, self.step",
        {"normalization": "batch"},
    ),
    Defect(
        "Nesterov's momentum adds the whole velocity",
        "normcore/optimizers/sgd.py",
        "torch._foreach_add(g, v, alpha=self.momentum)",
        "torch._foreach_add(g, v)",
        {"optimizer": "sgd", "sgd_nesterov": True},
    ),
    Defect(
        "dropout does not scale what it keeps",
        "normcore/layers/dropout.py",
        "mask = kept.view(x.shape).to(x.dtype) / (1 - self.rate)",
        "mask = kept.view(x.shape).to(x.dtype)",
        {"network": [*POOLED, {"kind": "dropout"}, *HEAD]},
    ),
    Defect(
        "the quotient rule of Box-Cox lacks its second term",
        "normcore/layers/box_cox.py",
        "        if self.denominator_eps:\n            # exprel",
        "        if not self.denominator_eps:\n            # exprel",
        {"normalization": "box_cox", "box_cox_denominator_eps": 1e-3, "protocol": "original"},
    ),
    Defect(
        "the minimum of range normalization gets the maximum's part",
        "normcore/layers/range_norm.py",
        "to_low = -to_high - dout.sum(CHANNEL, keepdim=True)",
        "to_low = to_high - dout.sum(CHANNEL, keepdim=True)",
        {"normalization": "range"},
    ),
    Defect(
        "the variance of a slot averages the means",
        "normcore/layers/slot_statistics.py",
        "used.var.lerp_(batch.var, 1 - self.momentum)",
        "used.var.lerp_(batch.mean, 1 - self.momentum)",
        {"normalization": "layer", "protocol": "original"},
    ),
    Defect(
        "the loss's gradient is divided by one image too few",
        "normcore/cross_entropy.py",
        "return loss, dlogits / logits.shape[-2]",
        "return loss, dlogits / (logits.shape[-2] - 1)",
    ),
    Defect(
        "the warm-up begins at a rate of 0",
        "normcore/optimizers/schedules.py",
        "schedule(0) * (step + 1) / steps",
        "schedule(0) * step / steps",
        {"epochs": 2, "warmup_epochs": 1},
    ),
    Defect(
        "the test pass divides by the running variance",
        "normcore/layers/fixed_standardization.py",
        "torch.rsqrt(var + self.eps)",
        "1 / (var + self.eps)",
        {"normalization": "batch"},
    ),
    Defect(
        "images are divided by 256",
        "normcore/step.py",
        "memory_format=layout(images.device)) / 255",
        "memory_format=layout(images.device)) / 256",
    ),
    Defect(
        "leaky ReLU leaks twice as much, forward and backward",
        "normcore/layers/activation.py",
        "LEAK = 0.01",
        "LEAK = 0.02",
        {"activation": "leaky_relu"},
    ),
]


def main() -> None:
    """Plant all defects, time the check, and exit with the number of defects that were not caught."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--first", type=int, default=len(DEFECTS), metavar="N", help="plant only the first N")
    arguments = parser.parse_args()
    raise SystemExit(len(plant(DEFECTS[: arguments.first])))


def plant(defects):
    """Return the names of the defects that the check does not catch, or whose experiment fails without them too."""
    began, uncaught = time.monotonic(), []
    with (
        ProgressLines("gradient defects", len(defects), "defects", doing="experiments without a defect") as progress,
        tempfile.TemporaryDirectory() as folder,
    ):
        copy = Path(folder, "copy")
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        unplanted = {str(defect.fields): defect.fields for defect in defects}
        failing = {key: error for key, fields in unplanted.items() if (error := _run(copy, fields)) is not None}
        for defect in progress.each(defects, lambda defect: defect.name):
            file = copy / defect.file
            source = file.read_text()
            file.write_text(planted(source, defect))
            error = _run(copy, defect.fields)
            file.write_text(source)
            is_right_before = str(defect.fields) not in failing
            is_caught = is_right_before and error is not None and "nothing was trained" in error
            print(f"{'caught' if is_caught else 'NOT CAUGHT'}: {defect.name}: {error}", flush=True)
            if not is_caught:
                uncaught.append(defect.name)
        timed = VARIANTS if defects == DEFECTS else ()
        seconds = {name: _in_process(_timed, copy, name) for name in timed}
    print(
        f"gradient defects: {len(defects)} planted one at a time in {time.monotonic() - began:.0f} s; "
        f"{len(failing)} of {len(unplanted)} experiments fail without a defect; {len(uncaught)} not caught"
        f"{''.join(f', {name}' for name in uncaught)}"
        + "".join(f"; a check of the study's network ({name}) takes {taken}" for name, taken in seconds.items()),
        flush=True,
    )
    return uncaught


def _run(copy, fields):
    """Run an experiment with the worker's own code, and return its error message."""
    return _in_process(_outcome, copy, SMALL | fields)


def _in_process(function, copy, argument):
    """Return what a function returns in a process that imports the copy."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=[function, copy, argument, sender])
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return f"the process ended with exit code {process.exitcode}"
    finally:
        process.join()


def _call(function, copy, argument, sender):
    for module in [name for name in sys.modules if name.split(".")[0] in COPIED]:
        del sys.modules[module]  # so that it is imported from the copy
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)
    sender.send(function(copy, argument))


def _outcome(copy, fields):
    from normlab.spec.experiment import ExperimentSpec
    from normlab.store import claims
    from normlab.store.database import Database
    from normlab.store.enqueue import Submission, enqueue_all
    from normlab.store.models import Experiment
    from normlab.store.schema import migrate
    from worker.run.experiment import run
    from worker.run_control import RunControl
    from worker.settings import WorkerSettings

    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/normlab.db")
        migrate(database)
        with database.writing.begin() as session:
            (experiment,) = enqueue_all(session, [Submission(ExperimentSpec(**fields), None)])
            claim = claims.claim(session, worker="w", lease_seconds=60)
        run(database, claim, WorkerSettings(database_url=database.url, data_dir=Path(folder)), RunControl())
        with database.reading() as session:
            experiment = session.get_one(Experiment, claim.experiment_id)
        database.close()
    return experiment.error


def _timed(copy, normalization):
    """Return how long the first check in a process takes, by the clock and of the processor, on one thread.

    It is of the study's network, on images of its size, and includes the import of PyTorch's optimizers.
    """
    from normlab.spec.experiment import ExperimentSpec
    from worker import datasets
    from worker.training.gradient_check import check_gradients
    from worker.training.training import Training

    spec = ExperimentSpec(dataset="synthetic", train_size=200, test_size=100, normalization=normalization)
    data = datasets.load("synthetic", data_dir=copy, image_size=96, train_size=200, test_size=100)
    training = Training(spec, data, torch.device("cpu"))
    began, processor_began = time.monotonic(), time.process_time()
    assert check_gradients(training).passed
    return f"{time.monotonic() - began:.2f} s ({time.process_time() - processor_began:.2f} s of the processor)"


if __name__ == "__main__":
    main()
