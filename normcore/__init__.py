"""Hand-written forward and backward passes on torch tensors: layers, losses, optimizers, histograms. No autograd."""

from normcore.activation import Activation
from normcore.adam import Adam
from normcore.affine import Affine
from normcore.batch_norm import BatchNorm
from normcore.box_cox import BoxCox
from normcore.convolution import Convolution
from normcore.counting import histogram
from normcore.cross_entropy import cross_entropy
from normcore.dropout import Dropout
from normcore.dynamic_tanh import DynamicTanh
from normcore.group_norm import GroupNorm
from normcore.histogram import MANTISSA_BITS, Histogram
from normcore.instance_norm import InstanceNorm
from normcore.layer import Gradients, Layer
from normcore.layer_norm import LayerNorm
from normcore.linear import Linear
from normcore.mean_pool import MeanPool
from normcore.network import Network, Probe
from normcore.optimizer import Optimizer
from normcore.pools import AveragePool, MaxPool
from normcore.range_norm import RangeNorm
from normcore.relu import ReLU
from normcore.rms_norm import RMSNorm
from normcore.running_statistics import RunningStatistics
from normcore.sgd import SGD
from normcore.slot_statistics import SlotStatistics
from normcore.sum import Sum
from normcore.threshold import Threshold
from normcore.weight_decay import WeightDecay
from normcore.weight_standardization import WeightStandardized
from normcore.yeo_johnson import YeoJohnson

__all__ = [
    "MANTISSA_BITS",
    "SGD",
    "Activation",
    "Adam",
    "Affine",
    "AveragePool",
    "BatchNorm",
    "BoxCox",
    "Convolution",
    "Dropout",
    "DynamicTanh",
    "Gradients",
    "GroupNorm",
    "Histogram",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "MeanPool",
    "Network",
    "Optimizer",
    "Probe",
    "RMSNorm",
    "RangeNorm",
    "ReLU",
    "RunningStatistics",
    "SlotStatistics",
    "Sum",
    "Threshold",
    "WeightDecay",
    "WeightStandardized",
    "YeoJohnson",
    "cross_entropy",
    "histogram",
]
