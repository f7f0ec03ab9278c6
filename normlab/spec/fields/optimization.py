"""The fields of the training: epochs, batches, the optimizer, its learning rate and weight decay."""

from typing import Annotated, Literal

from pydantic import Field

Epochs = Annotated[
    int, Field(ge=1, le=100_000, description="How many times training goes through all training images.")
]
BatchSize = Annotated[
    int,
    Field(
        ge=1,
        le=65_536,
        description="How many images one training step takes. The loss is their mean. If it does not divide the number "
        "of training images, the last batch of each epoch is smaller; it is never dropped.",
    ),
]
Optimizer = Annotated[
    Literal["adam", "sgd"],
    Field(
        description="What turns gradients into updates.\n\n"
        "- `adam`: Adam; with a decoupled weight_decay it is AdamW.\n"
        "- `sgd`: stochastic gradient descent with momentum, in PyTorch's form: v ← sgd_momentum · v + g, "
        "w ← w − learning_rate · v."
    ),
]
LearningRate = Annotated[
    float,
    Field(
        gt=0,
        le=10,
        description="The learning rate after the warm-up, before the schedule lowers it. PyTorch's default for Adam is "
        "0.001.",
    ),
]
LearningRateSchedule = Annotated[
    Literal["constant", "step", "cosine"],
    Field(
        description="How the learning rate changes. It is computed anew for every step, from the number of steps after "
        "the warm-up; PyTorch's schedulers are commonly stepped once per epoch.\n\n"
        "- `constant`: it does not change.\n"
        "- `step`: it is multiplied by schedule_step_factor once every schedule_step_epochs epochs.\n"
        "- `cosine`: it falls along half a cosine wave from learning_rate to 0 at the end of the last epoch."
    ),
]
ScheduleStepEpochs = Annotated[
    int,
    Field(
        ge=1,
        le=100_000,
        description="With learning_rate_schedule `step`: how many epochs pass from one multiplication by "
        "schedule_step_factor to the next. They are counted from the end of the warm-up.",
    ),
]
ScheduleStepFactor = Annotated[
    float,
    Field(
        gt=0, le=1, description="With learning_rate_schedule `step`: what the learning rate is multiplied by each time."
    ),
]
WarmupEpochs = Annotated[
    int,
    Field(
        ge=0,
        le=100_000,
        description="For how many epochs the learning rate first rises. It rises linearly at every step: over the n "
        "steps of the warm-up it is 1/n, 2/n, … n/n of the schedule's first rate. Then the schedule begins. It must be "
        "fewer than `epochs`. 0: no warm-up.",
    ),
]
WeightDecay = Annotated[
    float,
    Field(
        ge=0,
        le=10,
        description="The strength of weight decay; weight_decay_kind says how it acts. It acts on the weights of "
        "convolutions and linear layers alone, not on biases, scales, shifts, thresholds, λ or α; PyTorch's optimizers "
        "apply it to every parameter. PyTorch's AdamW has the default 0.01.",
    ),
]
WeightDecayKind = Annotated[
    Literal["decoupled", "coupled"],
    Field(
        description="How weight decay acts.\n\n"
        "- `decoupled`: w ← w − learning_rate · weight_decay · w before each update, as in PyTorch's AdamW.\n"
        "- `coupled`: weight_decay · w is added to the gradient, an L2 penalty, as in PyTorch's Adam and SGD."
    ),
]
SgdMomentum = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="With optimizer `sgd`: the fraction of the velocity that is kept. PyTorch's default is 0.",
    ),
]
SgdNesterov = Annotated[
    bool,
    Field(
        description="With optimizer `sgd`: whether the momentum is Nesterov's, w ← w − learning_rate · (g + "
        "sgd_momentum · v)."
    ),
]
AdamBeta1 = Annotated[
    float, Field(ge=0, lt=1, description="With optimizer `adam`: the fraction of the gradient's average that is kept.")
]
AdamBeta2 = Annotated[
    float,
    Field(
        ge=0, lt=1, description="With optimizer `adam`: the fraction of the squared gradient's average that is kept."
    ),
]
AdamEps = Annotated[
    float,
    Field(
        ge=1e-30,
        le=1,
        description="With optimizer `adam`: what is added to the root of the squared gradient's average, after its "
        "bias correction. PyTorch's default is 1e-8; the study's is 1e-9.",
    ),
]
