"""The answer of a gradient check: what was compared, the errors beside their limits, and what was left out."""

import math
from collections.abc import Sequence

from normcore.engines import Compiled, CudaGraph, Eager
from normlab.spec.gradient_check import Departure, GradientCheck, LayerCheck, TensorCheck
from normlab.spec.layer_shape import IMAGES, LayerShape
from worker.training.gradient_check.comparison import Comparison
from worker.training.gradient_check.departures import FIELDS, departing_fields
from worker.training.gradient_check.errors import Key, Kind
from worker.training.gradient_check.failure import failure
from worker.training.gradient_check.limits import Judgement
from worker.training.training import Training

ENGINES = {Eager: "eager", Compiled: "compiled", CudaGraph: "cuda_graph"}


def answer(training: Training, exact: Comparison, own: Comparison, *, images: int) -> GradientCheck:
    """Return the answer from the comparison in float64 and that of the training's own steps.

    images: how many each compared step has.
    """
    judgement, layers = Judgement(exact, own, training.engine), training.layers
    parameters: list[Key] = [(Kind.PARAMETER, name) for name in training.network.parameters()]
    buffers: list[Key] = [(Kind.BUFFER, name) for name in training.network.buffers()]
    sentence = failure(judgement, layers, parameters + buffers)
    return GradientCheck(
        passed=sentence is None,
        failure=sentence,
        step=training.steps_done,
        images=images,
        steps=own.steps,
        engine=_engine_name(training),
        memory=training.spec.memory,
        device=str(training.device),
        precision=str(training.dtype).removeprefix("torch."),
        scaled_images=judgement.errors((Kind.OUTPUT, IMAGES)),
        layers=[_layer(judgement, index, layer) for index, layer in enumerate(layers)],
        parameters=[_tensor(judgement, layers, key) for key in parameters],
        running_statistics=[_tensor(judgement, layers, key) for key in buffers],
        loss=judgement.errors((Kind.LOSS, 0)),
        correct=judgement.errors((Kind.CORRECT, 0)),
        capture=judgement.errors((Kind.CAPTURE, 0)) if training.spec.capture_moment == "last_step" else None,
        test_logits=judgement.errors((Kind.LOGITS, 0)),
        departures=[
            Departure(field=name, value=FIELDS[name][0], changes=FIELDS[name][1])
            for name in departing_fields(training.spec)
        ],
        left_out=_left_out(training),
    )


def _layer(judgement: Judgement, index: int, layer: LayerShape) -> LayerCheck:
    departure = judgement.exact.departures.get(index)
    return LayerCheck(
        layer=layer.layer,
        kind=layer.kind,
        output=judgement.errors((Kind.OUTPUT, index)),
        gradients=judgement.errors((Kind.GRADIENTS, index)),
        departure=departure if departure is not None and math.isfinite(departure) else None,
    )


def _tensor(judgement: Judgement, layers: Sequence[LayerShape], key: Key) -> TensorCheck:
    index, name = str(key[1]).split(".")
    layer = layers[int(index)]
    return TensorCheck(layer=layer.layer, kind=layer.kind, name=name, change=judgement.errors(key))


def _engine_name(training: Training) -> str:
    return next(name for kind, name in ENGINES.items() if isinstance(training.engine, kind))


def _left_out(training: Training) -> list[str]:
    """Return in sentences what the check of this training does not compare."""
    sentences = [
        "The values of the parameters before training and the order of the images: the reference starts from the "
        "training's own.",
        "The sums of loss and accuracy over an epoch and over the test images: single batches are compared.",
        "The counting of a capture's histograms: the gradients that they count are compared.",
    ]
    if not isinstance(training.engine, Eager):
        sentences.append(
            f"With the engine {_engine_name(training)}, the gradients of layer inputs that a capture of this "
            "experiment does not read. They are compared in float64 with the eager engine."
        )
        if len(training.batches(0)[-1]) < training.spec.batch_size:
            sentences.append(
                "The last batch of an epoch, which is not full and runs eagerly. The eager step is compared in float64."
            )
    if training.spec.capture_moment == "after_updates":
        sentences.append(
            "The restoring of running statistics after a capture: with capture_moment after_updates it is a backward "
            "pass of its own, whose gradients are compared."
        )
    if names := departing_fields(training.spec):
        sentences.append(
            f"The true gradients, where {' and '.join(names)} change them: the gradients that the spec defines "
            "are compared, and `departure` says how far they are from the true ones."
        )
    return sentences
