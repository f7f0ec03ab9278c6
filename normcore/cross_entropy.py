"""Softmax cross-entropy: the loss of a batch and its gradient with respect to the scores."""

import torch
from torch import Tensor


def cross_entropy(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """loss = mean over n of −log softmax(scores[n])[labels[n]]; dscores = (softmax(scores) − onehot(labels)) / N.

    Shapes: scores and dscores are N K, labels N (int64, 0…K−1), loss a scalar. Softmax is taken after the row's maximum
    is subtracted, so large scores do not overflow. Source: Bridle 1990.
    """
    log_probabilities = torch.log_softmax(scores, 1)
    picked = labels[:, None]
    loss = -log_probabilities.gather(1, picked).mean()
    dscores = log_probabilities.exp()
    dscores.scatter_add_(1, picked, dscores.new_full((len(labels), 1), -1.0))
    return loss, dscores / len(labels)
