"""Convolution's padding, sizes and the 2018 notebook's second division. test_gradients.py has its gradients."""

import pytest
import torch

from normcore import Convolution
from normcore.layers.layer import inference_of

ONES = torch.ones(1, 1, 3, 3, dtype=torch.float64)


def image(height, width):
    return torch.arange(1.0, height * width + 1, dtype=torch.float64).reshape(1, 1, height, width)


class TestPadding:
    def test_same_pads_an_even_size_at_bottom_and_right(self):
        """SAME at stride 2 on an even size puts its zeros at the bottom and the right only."""
        # 1  2  3  4 | 0      The four windows begin at rows and columns 0 and 2, inside the image.
        # 5  6  7  8 | 0      (1+2+3 + 5+6+7 + 9+10+11) = 54    (3+4 + 7+8 + 11+12) = 45
        # 9 10 11 12 | 0      (9+10+11 + 13+14+15)      = 72    (11+12 + 15+16)     = 54
        # 13 14 15 16 | 0
        # 0  0  0  0 | 0
        out, _ = Convolution(ONES, stride=2).forward(image(4, 4))
        assert out.tolist() == [[[[54, 45], [72, 54]]]]

    def test_same_pads_an_odd_size_on_every_side(self):
        """SAME at stride 2 on an odd size puts one zero on every side."""
        # Windows begin at −1 and 1: (1+2 + 4+5) = 12, (2+3 + 5+6) = 16, (4+5 + 7+8) = 24, (5+6 + 8+9) = 28.
        out, _ = Convolution(ONES, stride=2).forward(image(3, 3))
        assert out.tolist() == [[[[12, 16], [24, 28]]]]

    def test_same_at_stride_one_keeps_the_size(self):
        """SAME at stride 1 keeps the size, with one zero on every side."""
        # 1 2    Every window of the four holds the whole image.
        # 3 4
        out, _ = Convolution(ONES).forward(image(2, 2))
        assert out.tolist() == [[[[10, 10], [10, 10]]]]

    def test_same_pads_height_and_width_separately(self):
        """SAME pads height and width each by its own size."""
        # Rows are even, so windows begin at row 0; columns are odd, so at columns −1 and 1.
        # 1 2 3    (1+2 + 4+5) = 12    (2+3 + 5+6) = 16
        # 4 5 6
        out, _ = Convolution(ONES, stride=2).forward(image(2, 3))
        assert out.tolist() == [[[[12, 16]]]]

    def test_explicit_padding_is_equal_on_all_sides(self):
        """Explicit padding puts the same number of zeros on all four sides."""
        out, _ = Convolution(ONES, stride=2, padding=1).forward(image(4, 4))
        assert out.tolist() == [[[[1 + 2 + 5 + 6, 2 + 3 + 4 + 6 + 7 + 8], [5 + 6 + 9 + 10 + 13 + 14, 81 + 18]]]]

    @pytest.mark.parametrize("stride", [1, 2, 3])
    @pytest.mark.parametrize("size", range(1, 9))
    def test_same_gives_the_size_over_the_stride_rounded_up(self, size, stride):
        """SAME gives ⌈size/stride⌉ outputs."""
        out, _ = Convolution(ONES, stride=stride).forward(image(size, size))
        assert out.shape[-1] == -(-size // stride)

    def test_study_strides_give_48_24_12_6_6_6(self):
        """The study's strides give these sizes on 96 pixels."""
        x, sizes = torch.zeros(1, 1, 96, 96, dtype=torch.float64), []
        for stride in (2, 2, 2, 2, 1, 1):
            x, _ = Convolution(ONES, stride=stride).forward(x)
            sizes.append(tuple(x.shape[2:]))
        assert sizes == [(48, 48), (24, 24), (12, 12), (6, 6), (6, 6), (6, 6)]


class TestBackward:
    def test_dx_counts_the_windows_of_each_pixel(self):
        """With ones everywhere dx is the number of windows that contain each pixel."""
        layer = Convolution(ONES, stride=2)
        out, cache = layer.forward(image(4, 4))
        dx, _ = layer.backward(torch.ones_like(out), cache)
        assert dx.tolist() == [[[[1, 1, 2, 1], [1, 1, 2, 1], [2, 2, 4, 2], [1, 1, 2, 1]]]]

    def test_divide_by_batch_divides_the_weight_gradient_alone(self):
        """divide_by_batch divides the weight's gradient by N and leaves dx."""
        weight, x = torch.randn(2, 3, 3, 3, dtype=torch.float64), torch.randn(5, 3, 6, 6, dtype=torch.float64)
        true, divided = Convolution(weight, stride=2), Convolution(weight, stride=2, divide_by_batch=True)
        out, cache = true.forward(x)
        dout = torch.randn_like(out)
        dx, gradients = true.backward(dout, cache)

        divided_dx, divided_gradients = divided.backward(dout, divided.forward(x)[1])

        assert torch.equal(divided_dx, dx)
        torch.testing.assert_close(divided_gradients["weight"] * 5, gradients["weight"], rtol=1e-14, atol=0)


class TestForward:
    def test_kernel_is_not_flipped(self):
        """The kernel is applied as it is and not flipped."""
        corner = torch.zeros_like(ONES)
        corner[..., 2, 2] = 1
        out, _ = Convolution(corner, padding=0).forward(image(3, 3))
        assert out.item() == 9

    @pytest.mark.parametrize(("size", "padding"), [((3, 3), 0), ((9, 2), 1), ((2, 9), 1)])
    def test_kernel_that_does_not_fit_is_refused(self, size, padding):
        """A kernel larger than its padded image raises ValueError with both sizes."""
        layer = Convolution(torch.zeros(1, 1, 5, 5), padding=padding)
        with pytest.raises(ValueError, match=f"5×5 kernel does not fit {size[0]}×{size[1]}"):
            layer.forward(torch.zeros(1, 1, *size))

    def test_kernel_as_large_as_the_padded_image_fits(self):
        """A kernel as large as its padded image gives one output."""
        out, _ = Convolution(torch.ones(1, 1, 5, 5), padding=1).forward(torch.ones(1, 1, 3, 3))
        assert out.tolist() == [[[[9]]]]

    def test_test_time_is_the_same(self):
        """At test time a convolution is the layer itself."""
        layer = Convolution(ONES, stride=2)
        assert inference_of(layer) is layer
