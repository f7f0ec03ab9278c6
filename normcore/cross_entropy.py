"""Softmax cross-entropy: the loss of a batch and its gradient with respect to the logits."""

import torch
from torch import Tensor

from normcore.annotations import Float, Int

SCALE = 2.0**-20


def cross_entropy(
    logits: Float[Tensor, "*S N classes"], labels: Int[Tensor, "*S N"]
) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S N classes"]]:
    """Return the mean loss over the N images, and its gradient with respect to the logits.

    Forward:  loss = mean over n of −log softmax(logits[n])[labels[n]].
    Backward: dlogits = (softmax(logits) − onehot(labels)) / N.

    The softmax is taken after the row's maximum is subtracted, so large logits do not overflow.

    Args:
        logits: The network's output, N classes.
        labels: The index of each image's class, N int64.

    >>> loss, dlogits = cross_entropy(torch.zeros(1, 2), torch.tensor([0]))
    >>> loss, dlogits
    (tensor(0.6931), tensor([[-0.5000,  0.5000]]))

    Source: Bridle 1990.
    """
    log_probabilities = torch.log_softmax(logits, -1)
    picked = labels[..., None]
    # Scaled by a power of two, which changes no bit, so that the sum of the mean does not overflow before its quotient.
    loss = -(log_probabilities.gather(-1, picked).squeeze(-1) * SCALE).mean(-1) / SCALE
    dlogits = log_probabilities.exp()
    dlogits.scatter_add_(-1, picked, dlogits.new_full(picked.shape, -1.0))
    return loss, dlogits / logits.shape[-2]
