"""A training's whole state as safetensors bytes, and back."""

import hashlib
from collections.abc import Mapping

import torch
from safetensors.torch import load, save
from torch import Tensor

from normcore import Network, Optimizer
from normlab.store.records import Checkpoint

State = dict[str, Tensor]


def state_of(network: Network, optimizer: Optimizer) -> State:
    """Parameters, running statistics and the optimizer's averages and step count; the live tensors, not copies."""
    groups: Mapping[str, Mapping[str, Tensor]] = {
        "parameter": network.parameters(), "buffer": network.buffers(), "optimizer": optimizer.state(),
    }  # fmt: skip
    state = {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}
    return state | {"steps": torch.tensor(optimizer.steps)}


def restore(state: Mapping[str, Tensor], live: Mapping[str, Tensor]) -> None:
    """Put a state back into the live tensors. Raises ValueError if it is of another network."""
    if {name: tensor.shape for name, tensor in live.items()} != {name: tensor.shape for name, tensor in state.items()}:
        raise ValueError("the checkpoint is of another network than the spec's")
    for name, tensor in live.items():
        tensor.copy_(state[name])


def pack(state: Mapping[str, Tensor]) -> Checkpoint:
    """As it is stored."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    return Checkpoint(int(state["steps"]), content, hashlib.sha256(content).hexdigest())


def unpack(content: bytes, sha256: str) -> State:
    """The state out of its bytes. Raises ValueError if they are not those that were stored."""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("the checkpoint's bytes are not those its hash was taken of")
    state: State = load(content)
    return state
