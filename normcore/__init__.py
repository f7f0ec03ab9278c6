"""Hand-written forward and backward passes on torch tensors: layers, losses, optimizers, histograms. No autograd."""

from normcore.adam import Adam
from normcore.batch_norm import BatchNorm
from normcore.box_cox import BoxCox
from normcore.convolution import Convolution
from normcore.cross_entropy import cross_entropy
from normcore.histogram import MANTISSA_BITS, Histogram, histogram
from normcore.instance_norm import InstanceNorm
from normcore.layer import Gradients, Layer
from normcore.layer_norm import LayerNorm
from normcore.mean_pool import MeanPool
from normcore.network import Network, Probe
from normcore.relu import ReLU
from normcore.running_statistics import RunningStatistics
from normcore.slot_statistics import SlotStatistics

__all__ = [
    "MANTISSA_BITS",
    "Adam",
    "BatchNorm",
    "BoxCox",
    "Convolution",
    "Gradients",
    "Histogram",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "MeanPool",
    "Network",
    "Probe",
    "ReLU",
    "RunningStatistics",
    "SlotStatistics",
    "cross_entropy",
    "histogram",
]
