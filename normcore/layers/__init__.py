"""The layers: one family a file, each with its forward pass and its derivative written out."""

from normcore.layers.activation import Activation
from normcore.layers.add import Add
from normcore.layers.affine import Affine
from normcore.layers.batch_norm import BatchNorm
from normcore.layers.box_cox import BoxCox
from normcore.layers.convolution import Convolution
from normcore.layers.dropout import Dropout, Identity
from normcore.layers.dynamic_tanh import DynamicTanh
from normcore.layers.fixed_standardization import FixedStandardization
from normcore.layers.global_average_pool import GlobalAveragePool
from normcore.layers.group_norm import GroupNorm
from normcore.layers.instance_norm import InstanceNorm
from normcore.layers.layer import Gradients, Layer
from normcore.layers.layer_norm import LayerNorm
from normcore.layers.linear import Linear
from normcore.layers.pools import AveragePool, MaxPool
from normcore.layers.range_norm import FixedRange, RangeNorm
from normcore.layers.relu import ReLU
from normcore.layers.rms_norm import RMSNorm
from normcore.layers.running_statistics import RunningStatistics
from normcore.layers.slot_statistics import SlotStatistics
from normcore.layers.thresholded_linear import ThresholdedLinear
from normcore.layers.weight_standardization import WeightStandardized
from normcore.layers.yeo_johnson import YeoJohnson

__all__ = [
    "Activation",
    "Add",
    "Affine",
    "AveragePool",
    "BatchNorm",
    "BoxCox",
    "Convolution",
    "Dropout",
    "DynamicTanh",
    "FixedRange",
    "FixedStandardization",
    "GlobalAveragePool",
    "Gradients",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "RMSNorm",
    "RangeNorm",
    "ReLU",
    "RunningStatistics",
    "SlotStatistics",
    "ThresholdedLinear",
    "WeightStandardized",
    "YeoJohnson",
]
