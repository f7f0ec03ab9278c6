"""The fields that describe the network: its normalization, its activation, its layers, its first weights."""

from typing import Annotated

from pydantic import Field

from normlab.spec import layers, variants
from normlab.spec.variants import variants_that_read

Normalization = Annotated[
    variants.Normalization,
    Field(
        description="The variant under study: what each layer of kind `normalization` computes from its input x, which "
        "is images × channels × height × width. Variances are the biased ones, divided by n.\n\n"
        + variants.variant_list()
    ),
]
NormEps = Annotated[
    float,
    Field(
        ge=1e-30,
        le=1,
        description="The ε that is added to a variance, a mean square or a range before x is divided by it. Read by "
        f"{variants_that_read('norm_eps')}. PyTorch's default is 1e-5; the study's is 1e-8.",
    ),
]
NormMomentum = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="The fraction of a running average that is kept at each training batch: running ← norm_momentum · "
        "running + (1 − norm_momentum) · batch. PyTorch's momentum is 1 − norm_momentum: 0.9 here is 0.1 in PyTorch. "
        "The running variance averages the batches' biased variances (divided by n); PyTorch's averages unbiased ones "
        f"(divided by n − 1). Read by {variants_that_read('norm_momentum')}; by `layer` and `instance` only with "
        "test_statistics `slot`.",
    ),
]
BoxCoxLambda = Annotated[
    float, Field(ge=-10, le=10, description="The value that Box-Cox's λ has before training. At 1 Box-Cox is x itself.")
]
YeoJohnsonLambda = Annotated[
    float,
    Field(
        ge=-10,
        le=10,
        description="The value that every λ of Yeo-Johnson has before training. At 1 Yeo-Johnson is x itself.",
    ),
]
DynamicTanhAlpha = Annotated[
    float,
    Field(
        gt=0,
        le=100,
        description="The value that dynamic tanh's α has before training: the slope of tanh(α · x) at x = 0.",
    ),
]
GroupCount = Annotated[
    int,
    Field(
        ge=1,
        le=4096,
        description="Into how many groups `group` normalization divides the channels. It must divide their number. "
        "With 1 it is `layer`; with one group per channel it is `instance`. Other variants do not read it.",
    ),
]
Affine = Annotated[
    bool,
    Field(
        description="Whether a scale (at first 1) and a shift (at first 0) per channel are learned after each "
        "normalization. It has no effect on `none` and `weight_standardization`. PyTorch's default is true; the study "
        "learns none, so that all variants have the same weights."
    ),
]
Activation = Annotated[
    layers.Activation,
    Field(description=f"The function that every layer of kind `activation` computes.\n{layers.ACTIVATION_LIST}"),
]
Network = Annotated[
    tuple[layers.LayerSpec, ...],
    Field(
        strict=False,
        min_length=1,
        max_length=200,
        description="The layers, from the images to the logits. Each takes the output of the layer before it unless "
        "its `input` names another. The last one must output one logit per class; the loss is softmax and "
        "cross-entropy. Default: the study's six blocks of convolution, activation and normalization, with 16, 16, 16, "
        "16, 16 and `classes` channels and strides 2, 2, 2, 2, 1 and 1; the sixth has no normalization, and the mean "
        "over all positions follows it.",
    ),
]
InitStd = Annotated[
    float,
    Field(
        gt=0,
        le=10,
        description="The standard deviation of the initial weights of convolutions and linear layers, which are normal "
        "with mean 0, for layers of every size. PyTorch's default depends on the layer's inputs. Biases start at "
        "0.",
    ),
]
