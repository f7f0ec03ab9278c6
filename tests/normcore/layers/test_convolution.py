"""Convolution's padding, sizes and the 2018 notebook's second division; its gradients are in test_gradients."""

import pytest
import torch

from normcore import Convolution

ONES = torch.ones(1, 1, 3, 3, dtype=torch.float64)


def image(height, width):
    return torch.arange(1.0, height * width + 1, dtype=torch.float64).reshape(1, 1, height, width)


def test_same_at_stride_two_on_an_even_size_puts_zeros_at_the_bottom_and_the_right_alone():
    # 1  2  3  4 | 0      The four windows begin at rows and columns 0 and 2, inside the image.
    # 5  6  7  8 | 0      (1+2+3 + 5+6+7 + 9+10+11) = 54    (3+4 + 7+8 + 11+12) = 45
    # 9 10 11 12 | 0      (9+10+11 + 13+14+15)      = 72    (11+12 + 15+16)     = 54
    # 13 14 15 16 | 0
    # 0  0  0  0 | 0
    out, _ = Convolution(ONES, stride=2).forward(image(4, 4))
    assert out.tolist() == [[[[54, 45], [72, 54]]]]


def test_same_at_stride_two_on_an_odd_size_puts_one_zero_on_every_side():
    # Windows begin at −1 and 1: (1+2 + 4+5) = 12, (2+3 + 5+6) = 16, (4+5 + 7+8) = 24, (5+6 + 8+9) = 28.
    out, _ = Convolution(ONES, stride=2).forward(image(3, 3))
    assert out.tolist() == [[[[12, 16], [24, 28]]]]


def test_same_at_stride_one_keeps_the_size_with_one_zero_on_every_side():
    # 1 2    Every window of the four holds the whole image.
    # 3 4
    out, _ = Convolution(ONES).forward(image(2, 2))
    assert out.tolist() == [[[[10, 10], [10, 10]]]]


def test_same_pads_height_and_width_each_by_its_own_size():
    # Rows are even, so windows begin at row 0; columns are odd, so at columns −1 and 1.
    # 1 2 3    (1+2 + 4+5) = 12    (2+3 + 5+6) = 16
    # 4 5 6
    out, _ = Convolution(ONES, stride=2).forward(image(2, 3))
    assert out.tolist() == [[[[12, 16]]]]


def test_the_passed_gradient_of_same_counts_the_windows_that_hold_each_pixel():
    layer = Convolution(ONES, stride=2)
    out, cache = layer.forward(image(4, 4))
    dx, _ = layer.backward(torch.ones_like(out), cache)
    assert dx.tolist() == [[[[1, 1, 2, 1], [1, 1, 2, 1], [2, 2, 4, 2], [1, 1, 2, 1]]]]


def test_explicit_padding_puts_as_many_zeros_on_all_four_sides():
    out, _ = Convolution(ONES, stride=2, padding=1).forward(image(4, 4))
    assert out.tolist() == [[[[1 + 2 + 5 + 6, 2 + 3 + 4 + 6 + 7 + 8], [5 + 6 + 9 + 10 + 13 + 14, 81 + 18]]]]


def test_the_kernel_is_laid_on_as_it_is_and_not_flipped():
    corner = torch.zeros_like(ONES)
    corner[..., 2, 2] = 1
    out, _ = Convolution(corner, padding=0).forward(image(3, 3))
    assert out.item() == 9


def test_the_studys_strides_make_48_24_12_6_6_6_of_96():
    x, sizes = torch.zeros(1, 1, 96, 96, dtype=torch.float64), []
    for stride in (2, 2, 2, 2, 1, 1):
        x, _ = Convolution(ONES, stride=stride).forward(x)
        sizes.append(tuple(x.shape[2:]))
    assert sizes == [(48, 48), (24, 24), (12, 12), (6, 6), (6, 6), (6, 6)]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", range(1, 9))
def test_same_makes_the_size_over_the_stride_rounded_up(size, stride):
    out, _ = Convolution(ONES, stride=stride).forward(image(size, size))
    assert out.shape[-1] == -(-size // stride)


@pytest.mark.parametrize(("size", "padding"), [((3, 3), 0), ((9, 2), 1), ((2, 9), 1)])
def test_a_kernel_larger_than_its_padded_image_is_refused_with_both_sizes(size, padding):
    layer = Convolution(torch.zeros(1, 1, 5, 5), padding=padding)
    with pytest.raises(ValueError, match=f"5×5 kernel does not fit {size[0]}×{size[1]}"):
        layer.forward(torch.zeros(1, 1, *size))


def test_a_kernel_as_large_as_its_padded_image_fits():
    out, _ = Convolution(torch.ones(1, 1, 5, 5), padding=1).forward(torch.ones(1, 1, 3, 3))
    assert out.tolist() == [[[[9]]]]


def test_dividing_by_the_batch_divides_the_filters_gradient_alone():
    weight, x = torch.randn(2, 3, 3, 3, dtype=torch.float64), torch.randn(5, 3, 6, 6, dtype=torch.float64)
    true, divided = Convolution(weight, stride=2), Convolution(weight, stride=2, divide_by_batch=True)
    out, cache = true.forward(x)
    dout = torch.randn_like(out)
    dx, gradients = true.backward(dout, cache)

    divided_dx, divided_gradients = divided.backward(dout, divided.forward(x)[1])

    assert torch.equal(divided_dx, dx)
    torch.testing.assert_close(divided_gradients["weight"] * 5, gradients["weight"], rtol=1e-14, atol=0)


def test_at_test_time_a_convolution_is_what_it_is_in_training():
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    assert torch.equal(Convolution(ONES, stride=2).infer(x), Convolution(ONES, stride=2).forward(x)[0])
