"""The arithmetic of windows: how high and wide the output of a convolution or a pool is."""

from normlab.spec.layer_shape import UNKNOWN, Shape
from normlab.spec.layers import ConvolutionSpec, PoolSpec
from normlab.spec.widths import CLASSES


def convolved(layer: ConvolutionSpec, shape: Shape) -> tuple[int, int]:
    """Return the height and width of a convolution's output. shape: C H W. Raises ValueError if it does not fit."""
    if layer.padding == "same":
        return -(-shape[1] // layer.stride), -(-shape[2] // layer.stride)
    return _windows(shape, layer.kernel_size, layer.stride, layer.padding, 'padding "same"')


def pooled(layer: PoolSpec, shape: Shape) -> tuple[int, int]:
    """Return the height and width of a pool's output. shape: C H W. Raises ValueError if a window does not fit."""
    return _windows(shape, layer.size, layer.stride, 0, "a smaller size")


def shape_text(shape: Shape) -> str:
    """Return a shape as messages show it, such as 16×6×6, or classes×6×6 before the number of classes is known."""
    return "×".join(CLASSES if size == UNKNOWN else str(size) for size in shape)


def _windows(shape: Shape, window: int, stride: int, padding: int, advice: str) -> tuple[int, int]:
    height, width = (size + 2 * padding for size in shape[1:])
    if min(height, width) < window:
        raise ValueError(
            f"a {window}×{window} window with padding {padding} does not fit its input of shape {shape_text(shape)}; "
            f"use a larger image_size, smaller strides before it, or {advice}"
        )
    return (height - window) // stride + 1, (width - window) // stride + 1
