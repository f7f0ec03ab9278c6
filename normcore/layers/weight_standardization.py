"""Weight standardization: a convolution whose filters are standardized, instead of what they make of the images."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from normcore.layers import convolution, standardization
from normcore.layers.convolution import Convolution
from normcore.layers.layer import Gradients
from normcore.layers.standardization import standardize, standardize_backward

FILTER = (1, 2, 3)  # the axes C, K, K of a weight O C K K


class Cache(NamedTuple):
    """What the convolution remembers, what the standardization of its filters does, and the standardized filters."""

    convolution: convolution.Cache
    standardization: standardization.Cache
    filters: Tensor


@dataclass(frozen=True)
class WeightStandardized:
    """The convolution by ŵ = (w − mean) · rstd, over each filter's C, K, K; w itself is what training changes.

    Backward: the convolution's dx and dŵ; dw is dŵ passed back through the standardization.

    Shapes: as the convolution's. Source: Qiao, Wang, Liu, Shen, Yuille 2019, arXiv:1903.10520.
    """

    convolution: Convolution
    eps: float = 1e-8

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and what backward needs. Raises ValueError if the kernel does not fit."""
        standardized, remembered, _ = standardize(self.convolution.weight, FILTER, self.eps)
        out, cache = replace(self.convolution, weight=standardized).forward(x)
        return out, Cache(cache, remembered, standardized)

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return self.forward(x)[0]

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, N C H W, and {"weight": dw}, O C K K, beside the bias's if there is one."""
        dx, gradients = self._by_standardized(cache).backward(dout, cache.convolution)
        return dx, self._passed_back(gradients, cache)

    def input_gradient(self, dout: Tensor, cache: Cache) -> Tensor:
        """The dx of backward."""
        return self._by_standardized(cache).input_gradient(dout, cache.convolution)

    def parameter_gradients(self, dout: Tensor, cache: Cache) -> Gradients:
        """Those of backward."""
        return self._passed_back(self._by_standardized(cache).parameter_gradients(dout, cache.convolution), cache)

    def without_input(self, cache: Cache) -> Cache:
        """The cache, its largest part left out."""
        return cache._replace(convolution=self.convolution.without_input(cache.convolution))

    def with_input(self, cache: Cache, x: Tensor) -> Cache:
        """The whole cache of a forward pass of x."""
        return cache._replace(convolution=self.convolution.with_input(cache.convolution, x))

    def parameters(self) -> dict[str, Tensor]:
        """The convolution's weight as it is, O C K K, and its bias."""
        return self.convolution.parameters()

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def _by_standardized(self, cache: Cache) -> Convolution:
        return replace(self.convolution, weight=cache.filters)

    def _passed_back(self, gradients: Gradients, cache: Cache) -> Gradients:
        """dŵ becomes dw."""
        return gradients | {"weight": standardize_backward(gradients["weight"], cache.standardization, FILTER)}
