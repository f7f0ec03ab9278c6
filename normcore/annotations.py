"""Shape annotations of tensors: `Float[Tensor, "*N C H W"]` is a floating-point tensor whose last axes are C, H and W.

A name with a star stands for any number of axes, none included. Within one call a name stands for one size. The tests
check the shapes by jaxtyping. normcore runs without jaxtyping: where it is not installed, the annotation is the tensor
type alone.
"""

from typing import TYPE_CHECKING

__all__ = ["Bool", "Float", "Int"]

if TYPE_CHECKING:
    # To a type checker the names are Annotated, as jaxtyping documents for itself.
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Int
else:
    try:
        from jaxtyping import Bool, Float, Int
    except ImportError:

        class _TensorAlone:
            def __class_getitem__(cls, tensor_and_shape: tuple[type, str]) -> type:
                return tensor_and_shape[0]

        Bool = Float = Int = _TensorAlone
