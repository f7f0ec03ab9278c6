"""(b) A capture of a step's layers, compared with TensorBoard's histograms and with hooks and torch.histc."""

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import ours, peers
from benchmarks.timing import time_alternately
from normlab.process.progress import ProgressLines

BINS = 50


def measure(device: torch.device, progress: ProgressLines) -> list[dict[str, Any]]:
    """Return the milliseconds that a capture adds to each step: batch normalization's network, 20 images."""
    from torch.utils.tensorboard import SummaryWriter

    progress.doing = "a capture"
    data = ours.random_images(device)
    engines = ours.engines(lambda: ours.training("batch", 20, data, device))
    name = "cuda_graph" if "cuda_graph" in engines else "compiled"
    training, engine = engines[name]
    images, labels = data.train.images[:20], data.train.labels[:20]
    peer = peers.peer("batch", device, channels_last=device.type == "cpu")
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:

        def tensorboard() -> None:
            for key, values in _captured(peer, images, labels).items():
                writer.add_histogram(key, values)

        def histc() -> None:
            for values in _captured(peer, images, labels).values():
                torch.histc(values.float(), BINS).cpu()

        candidates: dict[str, Callable[[], object]] = {
            f"normcore {name}": ours.step(training, engine),
            f"normcore {name}, capturing": ours.captured_step(training, engine),
            "autograd": lambda: peer.step(images, labels),
            "autograd, hooks and torch.histc": histc,
            "autograd, TensorBoard": tensorboard,
        }
        timings = time_alternately(candidates)
    progress.done += 1
    added = {
        "normcore": timings[f"normcore {name}, capturing"].median - timings[f"normcore {name}"].median,
        "hooks and torch.histc": timings["autograd, hooks and torch.histc"].median - timings["autograd"].median,
        "TensorBoard": timings["autograd, TensorBoard"].median - timings["autograd"].median,
    }
    own = added["normcore"]
    return [{"capture": way, "milliseconds added": cost, "times ours": cost / own} for way, cost in added.items()]


def _captured(peer: peers.Peer, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Run one step and return the tensors that ours captures: of the weights and of the gradients between layers."""
    tensors: dict[str, Tensor] = {}
    hooks = []

    def watch(key: str, module: nn.Module, outputs_too: bool) -> None:
        def hook(_: nn.Module, dx: tuple[Tensor, ...], dout: tuple[Tensor, ...]) -> None:
            tensors[f"{key}/input_gradient"] = dx[0]
            if outputs_too:
                tensors[f"{key}/output_gradient"] = dout[0]

        hooks.append(module.register_full_backward_hook(hook))

    for index, module in enumerate(peer.module):
        if isinstance(module, peers.SameConvolution):
            watch(f"{index}", module, outputs_too=False)
        elif isinstance(module, nn.BatchNorm2d):
            watch(f"{index}", module, outputs_too=True)
    x = peer.batch(images).requires_grad_()
    peer.gradients(x, labels)
    weights = {name: weight.detach() for name, weight in peer.module.named_parameters()}
    before = {name: weight.clone() for name, weight in weights.items()}
    gradients = {name: weight.grad for name, weight in peer.module.named_parameters() if weight.grad is not None}
    peer.optimizer.step()
    for hook in hooks:
        hook.remove()
    for name, weight in before.items():
        tensors[f"{name}/weight"], tensors[f"{name}/gradient"] = weight, gradients[name]
        tensors[f"{name}/weight_minus_gradient"] = weight - gradients[name]
        tensors[f"{name}/update"] = weights[name] - weight
    return tensors
