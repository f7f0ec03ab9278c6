"""Global mean pooling: every map becomes its mean."""

from dataclasses import dataclass
from typing import Literal

from torch import Size, Tensor

from normcore.layers.layer import Gradients


@dataclass(frozen=True)
class GlobalAveragePool:
    """out[n,c] = mean over H, W of x[n,c]. Backward: dx[n,c,i,j] = dout[n,c] / (H·W).

    gradient: "exact", or "copied": dout as it is at every position, without the 1/(H·W), as the 2018 notebook had it.

    Shapes: x and dx are N C H W, out and dout N C. Source: Lin, Chen, Yan 2013, arXiv:1312.4400.
    """

    gradient: Literal["exact", "copied"] = "exact"

    def forward(self, x: Tensor) -> tuple[Tensor, Size]:
        """The output, and the input's shape for backward."""
        return x.mean((2, 3)), x.shape

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return x.mean((2, 3))

    def backward(self, dout: Tensor, cache: Size) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        positions = cache[2] * cache[3]
        dmap = dout / positions if self.gradient == "exact" else dout
        return dmap[:, :, None, None].expand(cache), {}

    def parameters(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}
