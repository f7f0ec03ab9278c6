"""Global average pooling: each map is replaced by its mean."""

from dataclasses import dataclass
from typing import Literal

from torch import Size, Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients


@dataclass(frozen=True)
class GlobalAveragePool:
    """Average each map over its positions.

    Forward:  out[n,c] = mean over H, W of x[n,c].
    Backward: dx[n,c,i,j] = dout[n,c] / (H·W).

    Args:
        gradient: "exact" for the formula above; "copied" gives dx[n,c,i,j] = dout[n,c], without the 1/(H·W), as the
            2018 notebook did.

    Shapes: x and dx are N C H W, out and dout N C.
    Source: Lin, Chen, Yan 2013, arXiv:1312.4400.
    """

    gradient: Literal["exact", "copied"] = "exact"

    def forward(self, x: Float[Tensor, "*N C H W"]) -> tuple[Float[Tensor, "*N C"], Size]:
        """Return the output, and the input's shape as the cache."""
        return x.mean((-2, -1)), x.shape

    def backward(self, dout: Float[Tensor, "*N C"], cache: Size) -> tuple[Float[Tensor, "*N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        positions = cache[-2] * cache[-1]
        dmap = dout / positions if self.gradient == "exact" else dout
        return dmap[..., None, None].expand(cache), {}
