"""Softmax cross-entropy: the loss of a batch and its gradient with respect to the logits."""

import torch
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """loss = mean over n of −log softmax(logits[n])[labels[n]]; dlogits = (softmax(logits) − onehot(labels)) / N.

    Shapes: logits and dlogits are N K, labels N (int64, 0…K−1), loss a scalar. Softmax is taken after the row's maximum
    is subtracted, so large logits do not overflow. Source: Bridle 1990.
    """
    log_probabilities = torch.log_softmax(logits, 1)
    picked = labels[:, None]
    loss = -log_probabilities.gather(1, picked).mean()
    dlogits = log_probabilities.exp()
    dlogits.scatter_add_(1, picked, dlogits.new_full((len(labels), 1), -1.0))
    return loss, dlogits / len(labels)
