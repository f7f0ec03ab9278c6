"""The reference optimizer: torch.optim's own, at the learning rates that the spec's fields describe."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from normlab.spec.experiment import ExperimentSpec

Named = Mapping[str, Tensor]

AVERAGES = {"m": "exp_avg", "v": "exp_avg_sq", "velocity": "momentum_buffer"}  # normcore's names and torch's


class ReferenceOptimizer:
    """Updates its own copy of the parameters by gradients that it is given.

    Args:
        spec: The experiment.
        parameters: The parameters by name; copied.
        state: The averages of normcore's optimizer by name, such as m/0.weight; copied.
        steps: How many steps were made before.
        steps_per_epoch: How many steps an epoch has.
        like: A tensor of the copies' precision and device.
    """

    def __init__(
        self, spec: ExperimentSpec, parameters: Named, state: Named, *, steps: int, steps_per_epoch: int, like: Tensor
    ) -> None:
        self._spec, self._steps, self._steps_per_epoch = spec, steps, steps_per_epoch
        self.parameters = {name: converted(tensor, like) for name, tensor in parameters.items()}
        self._optimizer = self._torch_optimizer()
        for key, average in state.items():
            kind, name = key.split("/", 1)
            averages = self._optimizer.state[self.parameters[name]]
            averages[AVERAGES[kind]] = converted(average, like)
            averages["step"] = torch.tensor(float(steps))

    def step(self, gradients: Named) -> None:
        """Update every parameter by its gradient."""
        rate = learning_rate(self._spec, self._steps, self._steps_per_epoch)
        self._steps += 1
        for name, parameter in self.parameters.items():
            parameter.grad = converted(gradients[name], parameter)
            if self._spec.adam_bias_correction == "constant":  # as in the first step, at every step
                self._optimizer.state[parameter]["step"] = torch.tensor(0.0)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self._spec.optimizer == "sgd" and self._spec.weight_decay_kind == "decoupled":  # torch's SGD has none
            for name, parameter in self.parameters.items():
                if name.endswith(".weight"):
                    parameter.mul_(1 - rate * self._spec.weight_decay)
        self._optimizer.step()

    def _torch_optimizer(self) -> torch.optim.Optimizer:
        spec, coupled = self._spec, self._spec.weight_decay_kind == "coupled"
        weights = [parameter for name, parameter in self.parameters.items() if name.endswith(".weight")]
        others = [parameter for name, parameter in self.parameters.items() if not name.endswith(".weight")]
        decay = 0.0 if spec.optimizer == "sgd" and not coupled else spec.weight_decay
        groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": decay}]
        if others:
            groups.append({"params": others, "weight_decay": 0.0})
        if spec.optimizer == "sgd":
            momentum = spec.sgd_momentum
            # Without momentum Nesterov's changes nothing, and torch refuses it.
            return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=spec.sgd_nesterov and momentum > 0)
        adam = torch.optim.Adam if coupled else torch.optim.AdamW
        return adam(groups, lr=0.0, betas=(spec.adam_beta1, spec.adam_beta2), eps=spec.adam_eps)


def learning_rate(spec: ExperimentSpec, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step, counted from 0, as the spec's fields describe it."""
    warmup = spec.warmup_epochs * steps_per_epoch
    if step < warmup:
        return spec.learning_rate * (step + 1) / warmup
    after = step - warmup
    match spec.learning_rate_schedule:
        case "constant":
            return spec.learning_rate
        case "step":
            drops = after // (spec.schedule_step_epochs * steps_per_epoch)
            return float(spec.learning_rate * spec.schedule_step_factor**drops)
        case "cosine":
            steps = spec.epochs * steps_per_epoch - warmup
            return 0.5 * spec.learning_rate * (1 + math.cos(math.pi * min(after / steps, 1.0)))


def converted(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a copy in the precision and on the device of another tensor. A count stays a whole number."""
    tensor = tensor.to(like.device, copy=True)  # first, because a device may not have the precision
    return tensor.to(like.dtype) if tensor.is_floating_point() else tensor
