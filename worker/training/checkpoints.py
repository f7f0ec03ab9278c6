"""A training's whole state as safetensors bytes, and back."""

import hashlib
from collections.abc import Mapping

import torch
from safetensors.torch import load, save
from torch import Tensor

from normcore import Network, Optimizer
from normlab.store.records import Checkpoint
from worker.errors import InvalidExperiment

State = dict[str, Tensor]


def state_of(network: Network, optimizer: Optimizer) -> State:
    """Return the parameters, the buffers, and the optimizer's averages and step count: the live tensors, no copies."""
    groups: Mapping[str, Mapping[str, Tensor]] = {
        "parameter": network.parameters(), "buffer": network.buffers(), "optimizer": optimizer.state(),
    }  # fmt: skip
    state = {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}
    return state | {"steps": torch.tensor(optimizer.steps)}


def restore(state: Mapping[str, Tensor], live: Mapping[str, Tensor]) -> None:
    """Copy a state into the live tensors. Raises InvalidExperiment if their names or shapes differ."""
    if {name: tensor.shape for name, tensor in live.items()} != {name: tensor.shape for name, tensor in state.items()}:
        raise InvalidExperiment("the checkpoint is of another network than the spec's")
    for name, tensor in live.items():
        tensor.copy_(state[name])


def pack(state: Mapping[str, Tensor]) -> Checkpoint:
    """Return the checkpoint to store."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    return Checkpoint(int(state["steps"]), content, hashlib.sha256(content).hexdigest())


def unpack(content: bytes, sha256: str) -> State:
    """Return the state from a checkpoint's bytes. Raises InvalidExperiment if they do not match the stored hash."""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InvalidExperiment("the checkpoint's bytes do not match its stored hash")
    state: State = load(content)
    return state
