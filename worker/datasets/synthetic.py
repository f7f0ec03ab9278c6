"""Generated images in ten classes: colour images for a machine without a network, as many as STL-10 has.

A class is one of five shapes with stripes of one of two slants. Everything else is random for each image and
independent of its class: the colours, the shape's position, size and rotation, the width and phase of the stripes, and
a wave in the background. So a network has to learn edges and directions.
"""

import math

import torch
from torch import Tensor

from worker.datasets.splits import ImageData, Request, Split, check_size

CLASSES = 10
TRAIN_SIZE, TEST_SIZE = 5_000, 8_000
BLOCK = 100  # images generated from one seed, so that the first n images are the same for every size
TRAIN_SEED, TEST_SEED = 0, 1_000_000  # of the first block, and 1 more for each further block
NOISE = 0.06  # standard deviation, where white is 1


def load(request: Request) -> ImageData:
    """Return the first images of each split, generated at image_size. They are the same for every experiment."""
    return ImageData(
        train=_split(TRAIN_SEED, check_size(request.train_size, TRAIN_SIZE), request.image_size),
        test=_split(TEST_SEED, check_size(request.test_size, TEST_SIZE), request.image_size),
        classes=CLASSES,
    )


def _split(first_seed: int, size: int, image_size: int) -> Split:
    images = torch.empty(size, 3, image_size, image_size, dtype=torch.uint8)
    labels = torch.empty(size, dtype=torch.int64)
    for block, start in enumerate(range(0, size, BLOCK)):
        block_images, block_labels = draw_block(first_seed + block, image_size)
        part = slice(start, min(start + BLOCK, size))
        images[part], labels[part] = block_images[: size - start], block_labels[: size - start]
    return Split(images, labels)


def draw_block(seed: int, image_size: int) -> tuple[Tensor, Tensor]:
    """Return 100 images, BLOCK 3 H W uint8, and their labels, BLOCK int64: ten of each class, in random order.

    Positions are −1 … 1 across the image, y downwards. One seed gives the same scenes at every size.
    """
    rng = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(BLOCK, channels, 1, 1, generator=rng)

    labels = torch.randperm(BLOCK, generator=rng) % CLASSES
    shapes, slants = labels % 5, (labels // 5).view(-1, 1, 1, 1)

    finest = min(1.0, image_size / 32)  # on a small image the stripes are wider, so that its pixels resolve them
    stripes = (math.pi * (0.25 + 0.5 * slants) + uniform(-0.2, 0.2), finest * uniform(4, 7), uniform(0, 2 * math.pi))
    ground_wave = (uniform(0, math.pi), finest * uniform(1, 4), uniform(0, 2 * math.pi))
    colour, contrast = uniform(0.2, 0.8, 3), uniform(0.1, 0.3, 3)
    ground_colour, ground_contrast = uniform(0.2, 0.8, 3), uniform(-0.2, 0.2, 3)
    centre_x, centre_y = uniform(-0.35, 0.35), uniform(-0.35, 0.35)
    radius, turn = uniform(0.4, 0.65), uniform(-0.3, 0.3)

    y, x = _positions(image_size)
    figure = colour + contrast * _wave(x, y, *stripes)
    ground = ground_colour + ground_contrast * _wave(x, y, *ground_wave)
    right, down = (x - centre_x) / radius, (y - centre_y) / radius
    u, v = right * turn.cos() + down * turn.sin(), down * turn.cos() - right * turn.sin()
    inside = _coverage(shapes, u, v, edge=2 / (image_size * radius))
    images = torch.lerp(ground, figure, inside) + NOISE * torch.randn(BLOCK, 3, image_size, image_size, generator=rng)
    return images.clamp(0, 1).mul(255).round().to(torch.uint8), labels


def _positions(image_size: int) -> tuple[Tensor, Tensor]:
    middles = (torch.arange(image_size) + 0.5) * (2 / image_size) - 1
    return middles.view(1, 1, -1, 1), middles.view(1, 1, 1, -1)


def _wave(x: Tensor, y: Tensor, angle: Tensor, cycles: Tensor, phase: Tensor) -> Tensor:
    """Return a sine wave, −1 … 1, in the direction of `angle`, with this many cycles across the image."""
    return torch.sin(math.pi * cycles * (x * angle.cos() + y * angle.sin()) + phase)


def _coverage(shapes: Tensor, u: Tensor, v: Tensor, edge: Tensor) -> Tensor:
    """Return the fraction of each pixel that the figure covers, 0 … 1. u, v: the position in units of its radius."""
    signed_distance = torch.empty_like(u)  # negative inside, positive outside
    for shape, distance in enumerate((_disc, _ring, _square, _cross, _triangle)):
        of_shape = shapes == shape
        signed_distance[of_shape] = distance(u[of_shape], v[of_shape])
    return (0.5 - signed_distance / edge).clamp(0, 1)


def _disc(u: Tensor, v: Tensor) -> Tensor:
    return torch.hypot(u, v) - 0.85


def _ring(u: Tensor, v: Tensor) -> Tensor:
    return (torch.hypot(u, v) - 0.75).abs() - 0.25


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) - 0.75


def _cross(u: Tensor, v: Tensor) -> Tensor:
    across, along = torch.minimum(u.abs(), v.abs()), torch.maximum(u.abs(), v.abs())
    return torch.maximum(across - 0.32, along - 1)


def _triangle(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(0.866 * u.abs() - 0.5 * v, v) - 0.5
