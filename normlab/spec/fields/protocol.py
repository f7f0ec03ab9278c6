"""The fields whose defaults the protocol decides: where the 2018 notebook differs from the mathematical definitions."""

from typing import Annotated, Literal

from pydantic import Field

from normlab.spec import protocols

Protocol = Annotated[
    protocols.Protocol,
    Field(
        description="The defaults of the ten fields from `shuffle` to `capture_moment`. Each of them can also be set "
        "alone."
        "\n\n- `standard`: the study with the mathematical definitions.\n"
        "- `original`: as the notebook behind the 2018 article ran it, with its errors."
    ),
]
Shuffle = Annotated[
    bool,
    Field(
        description="Whether each epoch has a new random order of the training images. False: every epoch has the same "
        "batches, in file order. With dataset `folder` that is the order of the classes, so most batches have images "
        "of one class alone, and the experiment has a warning. Default: true with protocol standard, false with "
        "original."
    ),
]
PoolGradient = Annotated[
    Literal["exact", "copied"],
    Field(
        description="The backward pass of global_average_pool. Default: `exact` with protocol standard, `copied` with "
        "original.\n\n"
        "- `exact`: the gradient of the mean, divided by the number of positions.\n"
        "- `copied`: the incoming gradient at every position, not divided. In the study's network every earlier "
        "gradient is 36 times too large."
    ),
]
FilterGradient = Annotated[
    Literal["exact", "divided_by_batch"],
    Field(
        description="The gradient of a convolution's weights. Default: `exact` with protocol standard, "
        "`divided_by_batch` with original.\n\n"
        "- `exact`: the gradient of the mean loss.\n"
        "- `divided_by_batch`: the same, divided once more by the number of images in the batch."
    ),
]
AdamBiasCorrection = Annotated[
    Literal["power", "constant"],
    Field(
        description="How Adam corrects its averages m and v at step t = 1, 2, … Default: `power` with protocol "
        "standard, `constant` with original.\n\n"
        "- `power`: m / (1 − β1^t) and v / (1 − β2^t), as its paper and PyTorch do.\n"
        "- `constant`: m / (1 − β1) and v / (1 − β2) at every step."
    ),
]
TestStatistics = Annotated[
    Literal["own", "slot"],
    Field(
        description="The mean and variance that `layer` and `instance` normalization use at test time. Default: `own` "
        "with protocol standard, `slot` with original.\n\n"
        "- `own`: those of the test image itself, as in training.\n"
        "- `slot`: running averages kept for each position in the batch. The n-th image of a test batch is normalized "
        "by the averages of the n-th images of the training batches, which are unrelated images."
    ),
]
RunningVarStart = Annotated[
    float,
    Field(
        ge=0,
        le=1e6,
        description="The value of running variances before training, and of `range` normalization's running maxima. "
        "Running means and minima start at 0. Default: 1 with protocol standard, as in PyTorch; 0 with original.",
    ),
]
LambdaGradient = Annotated[
    Literal["sum", "mean"],
    Field(
        description="The gradient of Box-Cox's λ. Default: `sum` with protocol standard, `mean` with original.\n\n"
        "- `sum`: the sum over all elements, which is the gradient.\n"
        "- `mean`: the sum divided by the number of elements."
    ),
]
BoxCoxDenominatorEps = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="What is added to λ in Box-Cox's denominator. Default: 0 with protocol standard, where λ = 0 gives "
        "the limit log(1 + x); 1e-8 with original.",
    ),
]
InitialWeights = Annotated[
    Literal["independent", "same_seed_per_layer"],
    Field(
        description="How the initial weights are drawn from the seed. Default: `independent` with protocol standard, "
        "`same_seed_per_layer` with original.\n\n"
        "- `independent`: one sequence of random numbers for the whole network.\n"
        "- `same_seed_per_layer`: the sequence begins anew for each layer, so layers of the same shape start with the "
        "same weights."
    ),
]
CaptureMoment = Annotated[
    Literal["last_step", "after_updates"],
    Field(
        description="When a capture takes its gradients. Default: `last_step` with protocol standard, `after_updates` "
        "with original.\n\n"
        "- `last_step`: in the training step itself, at the weights before its update. By epochs that is the epoch's "
        "last step.\n"
        "- `after_updates`: by one more backward pass of the epoch's last batch, at the weights after the epoch's last "
        "update. Running averages are left as they were. Only with capture_unit `epoch`."
    ),
]
