"""Weight standardization: a convolution whose filters are standardized, instead of its output."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from normcore.annotations import Float
from normcore.layers import convolution, standardization
from normcore.layers.convolution import Convolution
from normcore.layers.layer import Gradients
from normcore.layers.standardization import standardize, standardize_backward

FILTER = (-3, -2, -1)  # the axes C, K, K of a weight O C K K: all values of one filter


class Cache(NamedTuple):
    """What backward needs: the convolution's cache, that of the filters' standardization, and ŵ itself."""

    convolution: convolution.Cache
    standardization: standardization.Cache
    filters: Tensor


@dataclass(frozen=True)
class WeightStandardized:
    """Convolve with standardized filters ŵ; training changes the filters w themselves.

    Forward:  ŵ = (w − mean) · rstd, rstd = (var + eps)^-½, over each filter's C, K, K; out = the convolution by ŵ.
    Backward: dx and dŵ are the convolution's; dw = rstd · (dŵ − mean(dŵ) − ŵ · mean(dŵ · ŵ)), means over C, K, K.

    Args:
        convolution: The convolution with the filters w. Its other options hold unchanged.
        eps: Added to the variance for numerical stability.

    Shapes: as the convolution's. x cannot have more axes in front, because torch's convolution operators take one
    batch axis.
    Source: Qiao, Wang, Liu, Shen, Yuille 2019, arXiv:1903.10520.
    """

    convolution: Convolution
    eps: float = 1e-8

    def forward(self, x: Float[Tensor, "N C H W"]) -> tuple[Float[Tensor, "N O rows columns"], Cache]:
        """Return the output and the cache for backward. Raises ValueError if the kernel does not fit."""
        filters, standardization_cache, _ = standardize(self.convolution.weight, FILTER, self.eps)
        out, convolution_cache = replace(self.convolution, weight=filters).forward(x)
        return out, Cache(convolution_cache, standardization_cache, filters)

    def backward(
        self, dout: Float[Tensor, "N O rows columns"], cache: Cache
    ) -> tuple[Float[Tensor, "N C H W"], Gradients]:
        """Return dx and {"weight": dw, "bias": dbias}; no "bias" without a bias."""
        dx, gradients = self._standardized(cache).backward(dout, cache.convolution)
        return dx, self._through_standardization(gradients, cache)

    def input_gradient(self, dout: Float[Tensor, "N O rows columns"], cache: Cache) -> Float[Tensor, "N C H W"]:
        """Return the dx of backward alone."""
        return self._standardized(cache).input_gradient(dout, cache.convolution)

    def parameter_gradients(self, dout: Float[Tensor, "N O rows columns"], cache: Cache) -> Gradients:
        """Return the parameter gradients of backward alone."""
        gradients = self._standardized(cache).parameter_gradients(dout, cache.convolution)
        return self._through_standardization(gradients, cache)

    def without_input(self, cache: Cache) -> Cache:
        """Return the cache without the padded input."""
        return cache._replace(convolution=self.convolution.without_input(cache.convolution))

    def with_input(self, cache: Cache, x: Float[Tensor, "N C H W"]) -> Cache:
        """Return the whole cache of a forward pass of x."""
        return cache._replace(convolution=self.convolution.with_input(cache.convolution, x))

    def parameters(self) -> dict[str, Tensor]:
        """Return the convolution's weight w, O C/groups K K, and its bias, O, if there is one."""
        return self.convolution.parameters()

    def _standardized(self, cache: Cache) -> Convolution:
        """Return the convolution by ŵ."""
        return replace(self.convolution, weight=cache.filters)

    def _through_standardization(self, gradients: Gradients, cache: Cache) -> Gradients:
        """Return the gradients with dw in place of dŵ."""
        return gradients | {"weight": standardize_backward(gradients["weight"], cache.standardization, FILTER)}
