"""The study's network in float64: every gradient compared with autograd and with finite differences."""

import pytest
import torch.nn.functional as F

from tests.normcore.averages import EPS
from tests.normcore.differences import relative_error
from tests.normcore.study_network import NORMALIZATIONS, STRIDES, batch_of, study_network
from tests.normcore.test_gradients import same_convolved

# A new normalization is one row, of x and of the layer's λ where it has one.
THEIRS = {
    "none": lambda x: x,
    "batch": lambda x: F.batch_norm(x, None, None, training=True, eps=EPS),
    "layer": lambda x: F.layer_norm(x, x.shape[1:], eps=EPS),
    "instance": lambda x: F.instance_norm(x, eps=EPS),
    "box_cox": lambda x, lam: ((1 + x) ** lam - 1) / lam,
}


def autograds_forward(normalization, x, leaves):
    """The input of every layer, by its index in our network, and the logits."""
    inputs, parameters, index = {}, iter(leaves.values()), 0

    def entering(x):
        nonlocal index
        # A tensor that enters two of our layers has one gradient in autograd; a view for each tells them apart.
        inputs[index] = x = x.view_as(x) if x.requires_grad else x.clone().requires_grad_()
        x.retain_grad()
        index += 1
        return x

    for block, stride in enumerate(STRIDES, start=1):
        x = same_convolved(entering(x), next(parameters), stride)
        x = F.relu(entering(x))
        if block < 6 and normalization != "none":
            own = [next(parameters)] if normalization == "box_cox" else []
            x = THEIRS[normalization](entering(x), *own)
    return inputs, entering(x).mean((2, 3))


class TestStudyNetwork:
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_every_gradient_equals_autograds(self, normalization):
        """Every parameter's gradient and every layer's dx equal autograd's in the study's network."""
        network = study_network(normalization, init_std=0.2)
        x, labels = batch_of(4, 40)  # maps of 20, 10, 5, 3, 3, 3: odd sizes and even ones
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in network.parameters().items()}
        inputs, logits = autograds_forward(normalization, x, leaves)
        theirs = F.cross_entropy(logits, labels)
        theirs.backward()

        dx = {}
        loss, our_logits, gradients = network.gradients(
            x, labels, lambda index, layer_gradients: dx.update({index: layer_gradients.dx})
        )

        assert loss.item() == pytest.approx(theirs.item(), rel=1e-12)
        assert relative_error(our_logits, logits.detach()) < 1e-10
        assert gradients.keys() == leaves.keys()
        for name, leaf in leaves.items():
            assert leaf.grad.norm() > 0
            assert relative_error(gradients[name], leaf.grad) < 1e-10, name
        assert dx.keys() == inputs.keys()
        for index, image in inputs.items():
            assert relative_error(dx[index], image.grad) < 1e-10, index

    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_loss_changes_as_the_gradients_say(self, normalization):
        """A small step along a gradient changes the loss by the gradient's norm."""
        network = study_network(normalization, init_std=0.2)
        x, labels = batch_of(4, 40)
        _, _, gradients = network.gradients(x, labels)
        for name, parameter in network.parameters().items():
            start, direction, h = parameter.clone(), gradients[name] / gradients[name].norm(), 1e-7
            losses = []
            for sign in (1, -1):
                parameter.copy_(start + sign * h * direction)
                losses.append(network.gradients(x, labels)[0].item())
            parameter.copy_(start)
            slope = (losses[0] - losses[1]) / (2 * h)
            assert slope == pytest.approx(gradients[name].norm().item(), rel=1e-5), name
