"""The fields that decide how the training is computed: its seed, its device, its engine, its check."""

from typing import Annotated, Literal

from pydantic import Field

from normlab.spec.expectations import FORMAT

Seed = Annotated[
    int,
    Field(
        ge=0,
        lt=2**32,
        description="The seed of everything random: the initial weights, the order of the images and the masks of "
        "dropout. Variants with the same seed and network start from the same weights and see the same batches, on "
        "every device.",
    ),
]
Device = Annotated[
    str,
    Field(
        pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$",
        json_schema_extra={FORMAT: '"auto", "cpu", "mps", "cuda", or "cuda:1" with the number of a GPU'},
        description="What the training runs on. The experiment fails on a worker that does not have it.\n\n"
        "- `auto`: cuda if the worker has it, else mps, else cpu.\n"
        "- `cpu`: the processor.\n"
        "- `cuda`: the current NVIDIA GPU; `cuda:1` is the one with that number, from 0.\n"
        "- `mps`: the GPU of an Apple computer.",
    ),
]
Engine = Annotated[
    Literal["auto", "eager", "compiled", "cuda_graph"],
    Field(
        description="How a training step is executed. The last bits of a result depend on it. If the named one cannot "
        "be used, eager is used instead; `provenance` says which engine ran and why.\n\n"
        "- `auto`: by a rule that reads the spec and the kind of the machine alone, so that two experiments of one "
        "spec on one machine end with the same hash. On an NVIDIA GPU it is cuda_graph. On a CPU it is compiled if the "
        "eager steps of the whole training are estimated at more than 60 s on one core, and the worker has a "
        "compiler; else it is eager.\n"
        "- `eager`: one operator after another.\n"
        "- `compiled`: the whole step compiled by torch.compile. It needs a C++ compiler on the worker.\n"
        "- `cuda_graph`: the whole step recorded once as a CUDA graph and replayed."
    ),
]
Memory = Annotated[
    Literal["standard", "recompute"],
    Field(
        description="What the forward pass keeps for the backward pass.\n\n"
        "- `standard`: everything that the backward pass needs.\n"
        "- `recompute`: a convolution does not keep its input if the layer before can compute it again in the backward "
        "pass (activation recomputation). Of the memory that `standard` keeps for activations, this keeps 0.38 to 0.55 "
        "in the study's network. The results are bit-identical."
    ),
]
GradientCheck = Annotated[
    bool,
    Field(
        description="Whether the first training steps are compared with a reference before training: a network of "
        "PyTorch's own functions in float64, differentiated by autograd, and PyTorch's own optimizer. Outputs, "
        "gradients, updated parameters, running statistics and a test pass are compared, with the engine and the "
        "memory mode of the training. The experiment fails if an error is above its limit. The errors, and what was "
        "left out, are in its `gradient_check`. Where a protocol's field departs from the true gradient on purpose, "
        "the gradient that the field defines is compared, and the departure is measured."
    ),
]
