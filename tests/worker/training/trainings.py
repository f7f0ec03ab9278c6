"""Small trainings on a CPU."""

from typing import get_args

import torch

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layers import Normalization
from worker.training.training import Training

CPU = torch.device("cpu")
VARIANTS = get_args(Normalization)
SMALL = {"dataset": "digits", "image_size": 20, "train_size": 90, "test_size": 40, "epochs": 3}


def trained(data, **fields):
    """A small training after all of its epochs, and their records."""
    training = Training(ExperimentSpec(**(SMALL | fields)), data, CPU)
    return training, [training.run_epoch(lambda step, loss: None) for _ in range(training.spec.epochs)]
