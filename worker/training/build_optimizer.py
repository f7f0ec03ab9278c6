"""Build the optimizer of a spec, with its schedule and weight decay, from normcore."""

from torch import Tensor

from normcore import SGD, Adam, Optimizer, WeightDecay
from normcore.optimizers.schedules import Schedule, constant, cosine, step_decay, warmed_up
from normlab.spec.experiment import ExperimentSpec


def build_optimizer(spec: ExperimentSpec, parameters: dict[str, Tensor], *, steps_per_epoch: int) -> Optimizer:
    """Return the spec's optimizer of the parameters, by name.

    Weights decay; biases, thresholds, exponents, scales and shifts do not.
    """
    decay = WeightDecay(
        spec.weight_decay,
        coupled=spec.weight_decay_kind == "coupled",
        names=frozenset(name for name in parameters if name.endswith(".weight")),
    )
    schedule = _schedule(spec, steps_per_epoch)
    if spec.optimizer == "sgd":
        return SGD(
            parameters,
            learning_rate=schedule,
            momentum=spec.sgd_momentum,
            nesterov=spec.sgd_nesterov,
            weight_decay=decay,
        )
    return Adam(
        parameters,
        learning_rate=schedule,
        beta1=spec.adam_beta1,
        beta2=spec.adam_beta2,
        eps=spec.adam_eps,
        bias_correction=spec.adam_bias_correction,
        weight_decay=decay,
    )


def _schedule(spec: ExperimentSpec, steps_per_epoch: int) -> Schedule:
    warm_up = spec.warmup_epochs * steps_per_epoch
    match spec.learning_rate_schedule:
        case "constant":
            schedule = constant(spec.learning_rate)
        case "step":
            every = spec.schedule_step_epochs * steps_per_epoch
            schedule = step_decay(spec.learning_rate, every=every, factor=spec.schedule_step_factor)
        case "cosine":
            schedule = cosine(spec.learning_rate, steps=spec.epochs * steps_per_epoch - warm_up)
    return warmed_up(schedule, steps=warm_up) if warm_up else schedule
