"""The JSON responses with an experiment's records: metrics, layer statistics, histograms and addresses of figures."""

from pydantic import BaseModel, Field


class EpochMetricsResponse(BaseModel):
    """The metrics of one epoch."""

    epoch: int = Field(description="Number of the epoch, from 0.")
    train_loss: float | None = Field(
        description="Mean cross-entropy over the epoch's training steps; null if it is not finite."
    )
    train_accuracy: float = Field(description="Fraction of training images classified correctly in the epoch, 0 to 1.")
    test_loss: float | None = Field(
        description="Mean cross-entropy over the test images after the epoch; null if it is not finite."
    )
    test_accuracy: float = Field(description="Fraction of test images classified correctly after the epoch, 0 to 1.")
    train_seconds: float = Field(description="Duration of the epoch's training steps, in seconds.")
    test_seconds: float = Field(description="Duration of the test pass, in seconds.")
    images_per_second: float = Field(description="Training images per second of training.")


class MetricsResponse(BaseModel):
    """The metrics of an experiment."""

    metrics: list[EpochMetricsResponse] = Field(description="One row per recorded epoch, in order, without gaps.")


class CapturedQuantity(BaseModel):
    """Which capture a row is about: one quantity of one layer at one training step."""

    epoch: int = Field(description="Number of the epoch, from 0.")
    step: int = Field(description="Number of the step in the whole training, from 1.")
    layer: int = Field(description="Number of the convolution or linear layer, from 1.")
    quantity: str = Field(description="Name of the captured quantity, such as `weight_gradient`.")


class LayerStatisticsResponse(CapturedQuantity):
    """Exact statistics of one captured quantity."""

    count: int = Field(description="Number of values, all of them.")
    zeros: int = Field(description="Number of values that are exactly 0.")
    nans: int = Field(description="Number of values that are NaN.")
    positive_infinities: int = Field(description="Number of values that are +∞.")
    negative_infinities: int = Field(description="Number of values that are −∞.")
    min: float | None = Field(description="Smallest finite value; null if no value is finite.")
    max: float | None = Field(description="Largest finite value; null if no value is finite.")
    mean: float | None = Field(description="Mean of the finite values; null if no value is finite.")
    std: float | None = Field(
        description="Standard deviation of the finite values (biased: divided by their number); null if no "
        "value is finite."
    )
    l2_norm: float = Field(description="Euclidean norm of the finite values.")


class LayersResponse(BaseModel):
    """The layer statistics of an experiment."""

    layers: list[LayerStatisticsResponse] = Field(
        description="One row per captured step, layer and quantity, in the order of training."
    )


class HistogramResponse(CapturedQuantity):
    """The histogram of one captured quantity."""

    zeros: int = Field(
        description="Number of values that are exactly 0. Linear bins count them too, native bins do not."
    )
    nonfinite: int = Field(description="Number of values that are NaN or infinite. No bin counts them.")
    below: float = Field(description="Number of finite values below the first linear bin, which a chosen `low` leaves.")
    above: float = Field(description="Number of finite values above the last linear bin, which a chosen `high` leaves.")
    divided: int = Field(
        description="Number of values in stored bins that reach across an edge of a linear bin and were divided by "
        "length. So at most this number of values is counted in a wrong bin."
    )
    resolution: float | None = Field(
        description="Mean width of the stored bins in which the values lie, in standard deviations of the values; "
        "null if no value is finite. The distribution within a stored bin is not known."
    )
    resolution_is_coarse: bool = Field(
        description="Whether `resolution` is above 0.25. The values then differ so little relative to their size that "
        "linear bins show the steps and plateaus of the stored bins instead of the shape of the distribution."
    )
    bins: list[tuple[float, float, float]] = Field(
        description="Bins as [low, high, count], ascending; empty if no value is finite. Counts of linear bins need "
        "not be whole: a stored bin that overlaps two of them is divided by length."
    )


class HistogramsResponse(BaseModel):
    """The histograms of one quantity of an experiment."""

    histograms: list[HistogramResponse] = Field(description="One histogram per captured step and layer.")


class ExperimentHistogramResponse(HistogramResponse):
    """The histogram of one captured quantity, and the experiment that it is of."""

    experiment: int = Field(description="Number of the experiment.")


class SeveralHistogramsResponse(BaseModel):
    """The histograms of one quantity of several experiments. The edges of their bins are the same."""

    histograms: list[ExperimentHistogramResponse] = Field(
        description="One histogram per experiment, captured step and layer."
    )


class PlotResponse(BaseModel):
    """One figure of an experiment."""

    name: str = Field(description="Name of the figure, as in its address.")
    title: str = Field(description="Title of the figure.")
    urls: dict[str, str] = Field(
        description="Addresses by media type, such as `image/png`. Once the experiment has ended they carry a token of "
        "the content, and what they return may be cached for ever."
    )


class PlotsResponse(BaseModel):
    """The figures that an experiment has."""

    plots: list[PlotResponse] = Field(description="They can be fetched once the first epoch is recorded.")
