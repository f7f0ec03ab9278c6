"""The spec: everything that says what an experiment is, validated, every default filled in."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from normlab.spec.datasets import DATASETS, DatasetName
from normlab.spec.layer_shape import LayerShape
from normlab.spec.layers import Activation, LayerSpec, Normalization, stored_layer, study_network
from normlab.spec.protocols import PROTOCOLS, Protocol
from normlab.spec.quantities import QuantityName
from normlab.spec.shapes import Defaults, layer_shapes

TEXT = "^[^\\x00-\\x1f\ufffe\uffff]*$"  # what XML, and so an SVG, can hold
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=TEXT)]
Priority = Annotated[int, Field(ge=-1000, le=1000)]
Text = Annotated[str, Field(max_length=200, pattern=TEXT)]
_BY_PROTOCOL = "Default: as the protocol has it"


class ExperimentSpec(BaseModel):
    """One network, trained one way, with one seed. `{}` is the article's baseline on STL-10."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True, title="Experiment spec"
    )

    name: Text | None = Field(default=None, description="What you call it.")
    tags: tuple[Tag, ...] = Field(default=(), strict=False, max_length=32, description="Labels to find it by.")

    group: Tag | None = Field(default=None, description="Groups take turns at the workers, whatever their sizes.")
    priority: Priority = Field(default=0, description="Higher ones are claimed first.")
    max_run_seconds: float | None = Field(
        default=None, gt=0, le=1e9, description="Fail it when it has been run for longer, over all its attempts."
    )
    checkpoint_seconds: float = Field(
        default=300.0, ge=0, le=1e9, description="Inside a long epoch a checkpoint is stored after so many seconds."
    )

    dataset: DatasetName = Field(default="stl10", description="The images.")
    folder: Text | None = Field(
        default=None, description="With dataset `folder`: where below the data directory train/ and test/ lie."
    )
    image_size: int = Field(
        default_factory=lambda others: DATASETS[others.get("dataset", "stl10")].image_size,
        ge=1,
        le=1024,
        description="Height and width in pixels, resized to. Default: the data set's (STL-10, synthetic, folder 96; "
        "CIFAR-10 32; Fashion-MNIST 28; digits 32, enlarged from 8).",
    )
    train_size: int | None = Field(default=None, ge=1, le=100_000_000, description="Training images. Default: all.")
    test_size: int | None = Field(default=None, ge=1, le=100_000_000, description="Test images. Default: all.")

    normalization: Normalization = Field(default="none", description="The variant under study.")
    norm_eps: float = Field(default=1e-8, ge=1e-30, le=1, description="ε beside the variance in a normalization.")
    norm_momentum: float = Field(default=0.9, ge=0, lt=1, description="What running statistics keep at each batch.")
    box_cox_lambda: float = Field(default=2.0, ge=-10, le=10, description="Box-Cox's λ at the start.")
    yeo_johnson_lambda: float = Field(default=1.0, ge=-10, le=10, description="Yeo-Johnson's λ at the start.")
    dynamic_tanh_alpha: float = Field(default=0.5, gt=0, le=100, description="Dynamic tanh's steepness at the start.")
    group_count: int = Field(default=4, ge=1, le=4096, description="Groups of channels in group normalization.")
    affine: bool = Field(
        default=False, description="A learned scale and shift a channel after each normalization. The study has none."
    )
    activation: Activation = Field(default="relu", description="The nonlinearity. GELU is the exact one, by Φ.")
    network: tuple[LayerSpec, ...] = Field(
        default_factory=study_network,
        strict=False,
        min_length=1,
        max_length=200,
        description="The layers, in order. Default: the study's six blocks.",
    )
    init_std: float = Field(default=0.05, gt=0, le=10, description="Standard deviation of the initial weights.")

    epochs: int = Field(default=150, ge=1, le=100_000, description="Passes over the training images.")
    batch_size: int = Field(default=20, ge=1, le=65_536, description="Images a step.")
    optimizer: Literal["adam", "sgd"] = Field(
        default="adam", description="Adam, or stochastic gradient descent with momentum."
    )
    learning_rate: float = Field(default=0.0008, gt=0, le=10, description="The step size, at its highest.")
    learning_rate_schedule: Literal["constant", "step", "cosine"] = Field(
        default="constant", description="`step`: times a factor once in so many epochs; `cosine`: half a wave to 0."
    )
    schedule_step_epochs: int = Field(default=50, ge=1, le=100_000, description="With `step`: how many epochs.")
    schedule_step_factor: float = Field(default=0.1, gt=0, le=1, description="With `step`: the factor.")
    warmup_epochs: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Epochs over which the learning rate first rises in a straight line.",
    )
    weight_decay: float = Field(default=0.0, ge=0, le=10, description="Of the convolutions' weights.")
    weight_decay_kind: Literal["decoupled", "coupled"] = Field(
        default="decoupled", description="`decoupled` as in AdamW; `coupled`: an L2 penalty in the gradient."
    )
    sgd_momentum: float = Field(default=0.9, ge=0, lt=1, description="SGD's momentum.")
    sgd_nesterov: bool = Field(default=False, description="Whether SGD's momentum is Nesterov's.")
    adam_beta1: float = Field(default=0.9, ge=0, lt=1, description="Adam's β1.")
    adam_beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's β2.")
    adam_eps: float = Field(default=1e-9, ge=1e-30, le=1, description="Adam's ε.")
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="Of the initial weights and the batch order; the same seed, the same both.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$",
        description="`auto` (cuda, else mps, else cpu), `cpu`, `cuda`, `cuda:N` or `mps`.",
    )

    engine: Literal["auto", "eager", "compiled", "cuda_graph"] = Field(
        default="auto",
        description="How a step is run: an operator at a time, compiled by torch.compile, or as a CUDA graph. `auto` "
        "measures what is at hand if the training is long enough to repay it. The provenance says what ran and why.",
    )
    memory: Literal["standard", "recompute"] = Field(
        default="standard",
        description="`recompute`: the backward pass recomputes a convolution's input instead of keeping it. This takes "
        "about half the activation memory and gives the same numbers.",
    )
    gradient_check: bool = Field(
        default=True,
        description="Whether the gradients are first held against autograd's, in float64 on one batch; wrong ones fail "
        "the experiment.",
    )

    protocol: Protocol = Field(
        default="standard", description="The study as it should be, or `original`: as the 2018 notebook ran it."
    )
    shuffle: bool = Field(
        default=True, description=f"{_BY_PROTOCOL} (original: false, the same batches in file order every epoch)."
    )
    pool_gradient: Literal["exact", "copied"] = Field(
        default="exact", description=f"{_BY_PROTOCOL} (original: `copied`, without the 1/36 of the mean)."
    )
    filter_gradient: Literal["exact", "divided_by_batch"] = Field(
        default="exact", description=f"{_BY_PROTOCOL} (original: `divided_by_batch`, by N once more)."
    )
    adam_bias_correction: Literal["power", "constant"] = Field(
        default="power", description=f"{_BY_PROTOCOL} (original: `constant`, 1−β instead of 1−β^t)."
    )
    test_statistics: Literal["own", "slot"] = Field(
        default="own",
        description=f"What layer and instance normalization use at test time. {_BY_PROTOCOL} (original: `slot`, "
        "running statistics by the image's place in the batch).",
    )
    running_var_start: float = Field(
        default=1.0, ge=0, le=1e6, description=f"Running variances at the start. {_BY_PROTOCOL} (original: 0)."
    )
    lambda_gradient: Literal["sum", "mean"] = Field(
        default="sum", description=f"Of Box-Cox's λ over the elements. {_BY_PROTOCOL} (original: `mean`)."
    )
    box_cox_denominator_eps: float = Field(
        default=0.0, ge=0, le=1, description=f"Added to λ in the denominator. {_BY_PROTOCOL} (original: 1e-8)."
    )
    initial_weights: Literal["independent", "same_seed_per_layer"] = Field(
        default="independent",
        description=f"{_BY_PROTOCOL} (original: `same_seed_per_layer`, so layers alike in shape start identical).",
    )
    capture_moment: Literal["last_step", "after_updates"] = Field(
        default="last_step",
        description=f"When an epoch's layers are looked at: in its last training step, or on the same batch once more "
        f"after it. {_BY_PROTOCOL} (original: `after_updates`).",
    )

    capture_every: int = Field(default=1, ge=1, le=1_000_000_000, description="Layers are looked at every so many …")
    capture_unit: Literal["epoch", "step"] = Field(default="epoch", description="… epochs, or training steps.")
    capture_quantities: tuple[QuantityName, ...] = Field(
        default=get_args(QuantityName),
        strict=False,
        max_length=len(get_args(QuantityName)),
        description="What is looked at.",
    )

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> "ExperimentSpec":
        """A spec that was accepted once, without the rules of today: who accepts less now still shows and runs it.

        What an older release did not know has its default; what this one does not know any more is left out.
        """
        values = dict(fields)
        for name in ("tags", "capture_quantities"):
            values[name] = tuple(values[name])
        values["network"] = tuple(map(stored_layer, values["network"]))
        return cls.model_construct(**values)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_protocols_parts(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        protocol = data.get("protocol", "standard")
        return {**PROTOCOLS[protocol], **data} if isinstance(protocol, str) and protocol in PROTOCOLS else data

    @field_validator("folder")
    @classmethod
    def _check_folder(cls, folder: str | None, others: ValidationInfo) -> str | None:
        if (others.data.get("dataset") == "folder") != (folder is not None):
            raise ValueError("needed with dataset `folder`, and only there")
        if folder is not None and (not folder or PurePath(folder).is_absolute() or ".." in PurePath(folder).parts):
            raise ValueError("expected a folder below the data directory, such as flowers or flowers/small")
        return folder

    @field_validator("train_size", "test_size")
    @classmethod
    def _check_size(cls, size: int | None, others: ValidationInfo) -> int | None:
        dataset, split = others.data.get("dataset"), str(others.field_name).removesuffix("_size")
        there = getattr(DATASETS[dataset], split) if dataset else None
        if size is not None and there is not None and size > there:
            raise ValueError(f"at most {there}, for {dataset} has no more {split} images")
        return size

    @field_validator("network")
    @classmethod
    def _check_network(cls, network: tuple[LayerSpec, ...], others: ValidationInfo) -> tuple[LayerSpec, ...]:
        if {"dataset", "image_size", "normalization", "activation", "affine", "group_count"} <= others.data.keys():
            _resolved(network, others.data)
        return network

    @field_validator("warmup_epochs")
    @classmethod
    def _check_warmup(cls, warmup: int, others: ValidationInfo) -> int:
        if warmup >= others.data.get("epochs", warmup + 1):
            raise ValueError("fewer than `epochs`, so that some are trained at the full learning rate")
        return warmup

    @field_validator("capture_unit")
    @classmethod
    def _check_capture_unit(cls, unit: str, others: ValidationInfo) -> str:
        if unit == "step" and others.data.get("capture_moment") == "after_updates":
            raise ValueError("`epoch`, since capture_moment `after_updates` looks once an epoch")
        return unit

    def layer_shapes(self) -> tuple[LayerShape, ...]:
        """Every layer with its shapes and parameter count."""
        return _resolved(self.network, dict(self))


def _resolved(network: tuple[LayerSpec, ...], spec: Mapping[str, Any]) -> tuple[LayerShape, ...]:
    defaults = Defaults(spec["normalization"], spec["activation"], spec["affine"], spec["group_count"])
    classes = DATASETS[spec["dataset"]].classes
    return layer_shapes(network, image_size=spec["image_size"], classes=classes, defaults=defaults)
