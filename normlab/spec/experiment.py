"""The spec of an experiment: every field with its default, and the rules that several fields fulfil together.

The type of each field, in `fields/`, has its bounds and its description.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, get_args

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from normlab.spec.counts import training_images, training_steps
from normlab.spec.datasets import DATASETS
from normlab.spec.fields.architecture import (
    Activation,
    Affine,
    BoxCoxLambda,
    DynamicTanhAlpha,
    GroupCount,
    InitStd,
    Network,
    Normalization,
    NormEps,
    NormMomentum,
    YeoJohnsonLambda,
)
from normlab.spec.fields.capture import CaptureEvery, CaptureQuantities, CaptureUnit
from normlab.spec.fields.images import (
    WHITE,
    Background,
    Dataset,
    Folder,
    ImageSize,
    SkipDamaged,
    TestFraction,
    TestSize,
    TrainSize,
)
from normlab.spec.fields.labels import Name, Tags
from normlab.spec.fields.optimization import (
    AdamBeta1,
    AdamBeta2,
    AdamEps,
    BatchSize,
    Epochs,
    LearningRate,
    LearningRateSchedule,
    Optimizer,
    ScheduleStepEpochs,
    ScheduleStepFactor,
    SgdMomentum,
    SgdNesterov,
    WarmupEpochs,
    WeightDecay,
    WeightDecayKind,
)
from normlab.spec.fields.protocol import (
    AdamBiasCorrection,
    BoxCoxDenominatorEps,
    CaptureMoment,
    FilterGradient,
    InitialWeights,
    LambdaGradient,
    PoolGradient,
    Protocol,
    RunningVarStart,
    Shuffle,
    TestStatistics,
)
from normlab.spec.fields.running import Device, Engine, GradientCheck, Memory, Seed
from normlab.spec.fields.scheduling import CheckpointSeconds, Group, MaxRunSeconds, Priority
from normlab.spec.integers import IntegersAsInJSON
from normlab.spec.layer_shape import LayerShape
from normlab.spec.layers import LayerSpec, stored_layer, study_network, with_classes
from normlab.spec.network_check import checked_network, require_use
from normlab.spec.network_shapes import DEPENDS_ON, network_shapes
from normlab.spec.protocols import PROTOCOLS, leave_out_defaults
from normlab.spec.quantities import QuantityName
from normlab.spec.single_values import check_statistics, smallest_batch


class ExperimentSpec(IntegersAsInJSON):
    """One network, trained one way, with one seed. `{}` is the article's baseline on STL-10."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True, title="Experiment spec",
        json_schema_extra=leave_out_defaults,
    )  # fmt: skip

    name: Name = None
    tags: Tags = ()

    group: Group = None
    priority: Priority = 0
    max_run_seconds: MaxRunSeconds = None
    checkpoint_seconds: CheckpointSeconds = 300.0

    dataset: Dataset = "stl10"
    folder: Folder = None
    image_size: ImageSize = Field(default_factory=lambda earlier: DATASETS[earlier.get("dataset", "stl10")].image_size)
    train_size: TrainSize = None
    test_size: TestSize = None
    test_fraction: TestFraction = None
    skip_damaged: SkipDamaged = False
    background: Background = WHITE

    normalization: Normalization = "none"
    norm_eps: NormEps = 1e-8
    norm_momentum: NormMomentum = 0.9
    box_cox_lambda: BoxCoxLambda = 2.0
    yeo_johnson_lambda: YeoJohnsonLambda = 1.0
    dynamic_tanh_alpha: DynamicTanhAlpha = 0.5
    group_count: GroupCount = 4
    affine: Affine = False
    activation: Activation = "relu"
    network: Network = Field(default_factory=study_network)
    init_std: InitStd = 0.05

    epochs: Epochs = 150
    batch_size: BatchSize = 20
    optimizer: Optimizer = "adam"
    learning_rate: LearningRate = 0.0008
    learning_rate_schedule: LearningRateSchedule = "constant"
    schedule_step_epochs: ScheduleStepEpochs = 50
    schedule_step_factor: ScheduleStepFactor = 0.1
    warmup_epochs: WarmupEpochs = 0
    weight_decay: WeightDecay = 0.0
    weight_decay_kind: WeightDecayKind = "decoupled"
    sgd_momentum: SgdMomentum = 0.9
    sgd_nesterov: SgdNesterov = False
    adam_beta1: AdamBeta1 = 0.9
    adam_beta2: AdamBeta2 = 0.999
    adam_eps: AdamEps = 1e-9

    seed: Seed = 0
    device: Device = "auto"
    engine: Engine = "auto"
    memory: Memory = "standard"
    gradient_check: GradientCheck = True

    protocol: Protocol = "standard"
    shuffle: Shuffle = True
    pool_gradient: PoolGradient = "exact"
    filter_gradient: FilterGradient = "exact"
    adam_bias_correction: AdamBiasCorrection = "power"
    test_statistics: TestStatistics = "own"
    running_var_start: RunningVarStart = 1.0
    lambda_gradient: LambdaGradient = "sum"
    box_cox_denominator_eps: BoxCoxDenominatorEps = 0.0
    initial_weights: InitialWeights = "independent"
    capture_moment: CaptureMoment = "last_step"

    capture_every: CaptureEvery = 1
    capture_unit: CaptureUnit = "epoch"
    capture_quantities: CaptureQuantities = get_args(QuantityName)

    @classmethod
    def stored(cls, fields: Mapping[str, Any], classes: int | None = None) -> "ExperimentSpec":
        """Load a stored spec without validating it, so that specs accepted by older releases still load.

        A field that the older release did not know gets its default. A field that this release does not know is left
        out. classes: as in `with_classes`, if a worker has read the images.
        """
        values = dict(fields)
        for name in ("tags", "capture_quantities"):
            values[name] = tuple(values[name])
        values["network"] = tuple(map(stored_layer, values["network"]))
        spec = cls.model_construct(**values)
        return spec if classes is None else spec.with_classes(classes)

    @model_validator(mode="before")
    @classmethod
    def _apply_protocol_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        protocol = data.get("protocol", "standard")
        return {**PROTOCOLS[protocol], **data} if isinstance(protocol, str) and protocol in PROTOCOLS else data

    @field_validator("folder")
    @classmethod
    def _check_folder(cls, folder: str | None, earlier: ValidationInfo) -> str | None:
        if (earlier.data.get("dataset") == "folder") != (folder is not None):
            raise ValueError("expected a folder with dataset `folder`, and none with any other dataset")
        if folder is not None and (not folder or PurePath(folder).is_absolute() or ".." in PurePath(folder).parts):
            raise ValueError("expected a folder below the data directory, such as flowers or flowers/small")
        return folder

    @field_validator("test_fraction", "skip_damaged", "background")
    @classmethod
    def _check_only_for_a_folder(cls, value: Any, earlier: ValidationInfo) -> Any:
        if value not in (None, False, WHITE) and earlier.data.get("dataset", "folder") != "folder":
            raise ValueError("expected only with dataset `folder`; leave it out")
        return value

    @field_validator("train_size", "test_size")
    @classmethod
    def _check_size(cls, size: int | None, earlier: ValidationInfo) -> int | None:
        dataset, split = earlier.data.get("dataset"), str(earlier.field_name).removesuffix("_size")
        available = getattr(DATASETS[dataset], split) if dataset else None
        if size is not None and available is not None and size > available:
            raise ValueError(f"expected at most {available}: {dataset} has {available} {split} images")
        return size

    @field_validator("network")
    @classmethod
    def _check_network(cls, network: tuple[LayerSpec, ...], earlier: ValidationInfo) -> tuple[LayerSpec, ...]:
        checked = checked_network(network, earlier.data)
        require_use(network, earlier.data.get("normalization", "none"))
        if earlier.data.keys() >= DEPENDS_ON:
            check_statistics(network_shapes(network, earlier.data), None)
        return checked

    @field_validator("batch_size")
    @classmethod
    def _check_batch_size(cls, batch_size: int, earlier: ValidationInfo) -> int:
        if earlier.data.keys() >= DEPENDS_ON | {"network"}:
            batch = smallest_batch(training_images(earlier.data), batch_size)
            check_statistics(network_shapes(earlier.data["network"], earlier.data), batch)
        return batch_size

    @field_validator("warmup_epochs")
    @classmethod
    def _check_warmup(cls, warmup: int, earlier: ValidationInfo) -> int:
        epochs = earlier.data.get("epochs", warmup + 1)
        if warmup >= epochs:
            raise ValueError(f"expected fewer than `epochs`, which is {epochs}: some epochs must have the full rate")
        return warmup

    @field_validator("capture_unit")
    @classmethod
    def _check_capture_unit(cls, unit: str, earlier: ValidationInfo) -> str:
        if unit == "step" and earlier.data.get("capture_moment") == "after_updates":
            raise ValueError("expected `epoch`: capture_moment `after_updates` captures once an epoch; set `last_step`")
        every, steps = earlier.data.get("capture_every"), training_steps(earlier.data)
        if unit == "step" and every is not None and steps is not None and every > steps:
            raise ValueError(
                f"expected a capture_every of at most {steps:,}, the number of training steps; got {every:,}"
            )
        return unit

    def with_classes(self, classes: int) -> "ExperimentSpec":
        """Return the spec with this number of classes in the place of the word `classes`.

        The spec of a named data set has the number already.
        """
        network = with_classes(self.network, classes)
        return self if network is self.network else self.model_copy(update={"network": network})

    @property
    def steps(self) -> int | None:
        """The number of training steps, or None if only the files can tell how many images there are."""
        return training_steps(dict(self))

    def layer_shapes(self) -> tuple[LayerShape, ...]:
        """Return every layer of the network as it is built, with its shapes and parameters.

        Raises: ValueError if a layer does not fit, which can happen once the number of a folder's classes is known.
        """
        return network_shapes(self.network, dict(self))
