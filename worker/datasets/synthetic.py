"""Drawn images in ten classes: colour images to train on where none can be had, with STL-10's sizes.

A class is a shape (five) covered in stripes of one slant (two). Colours, place, size, turn, the width and phase of
the stripes and a waving background are drawn anew for every image and say nothing of its class: it has to be seen
by edges and directions.
"""

import math

import torch
from torch import Tensor

from worker.datasets.splits import ImageData, Request, Split, check_size

CLASSES = 10
TRAIN_SIZE, TEST_SIZE = 5_000, 8_000
BLOCK = 100  # images drawn at once from a seed of their own: the first n are the same however many are drawn
TRAIN_SEED, TEST_SEED = 0, 1_000_000  # of the first block; each next one counts up
NOISE = 0.06


def load(request: Request) -> ImageData:
    """The first images of each split, drawn at image_size; the same for every experiment."""
    return ImageData(
        train=_split(TRAIN_SEED, check_size(request.train_size, TRAIN_SIZE), request.image_size),
        test=_split(TEST_SEED, check_size(request.test_size, TEST_SIZE), request.image_size),
        classes=CLASSES,
    )


def _split(first_seed: int, size: int, image_size: int) -> Split:
    images = torch.empty(size, 3, image_size, image_size, dtype=torch.uint8)
    labels = torch.empty(size, dtype=torch.int64)
    for block, start in enumerate(range(0, size, BLOCK)):
        drawn, drawn_labels = draw_block(first_seed + block, image_size)
        part = slice(start, min(start + BLOCK, size))
        images[part], labels[part] = drawn[: size - start], drawn_labels[: size - start]
    return Split(images, labels)


def draw_block(seed: int, image_size: int) -> tuple[Tensor, Tensor]:
    """A hundred images, ten of each class in random order: BLOCK 3 H W uint8, and their labels.

    Positions run from −1 to 1 across the image, y downwards; the same seed draws the same scenes at any size.
    """
    rng = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(BLOCK, channels, 1, 1, generator=rng)

    labels = torch.randperm(BLOCK, generator=rng) % CLASSES
    shapes, slants = labels % 5, (labels // 5).view(-1, 1, 1, 1)

    finest = min(1.0, image_size / 32)  # on a small image, wider stripes rather than ones below its resolution
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
    """A sine of so many cycles across the image, −1 … 1, rising in the direction of angle."""
    return torch.sin(math.pi * cycles * (x * angle.cos() + y * angle.sin()) + phase)


def _coverage(shapes: Tensor, u: Tensor, v: Tensor, edge: Tensor) -> Tensor:
    """The share of each pixel that the figure covers, 0 … 1, its edge one pixel soft; u and v in radii."""
    reach = torch.empty_like(u)  # below 0 inside, above 0 outside
    for shape, distance in enumerate((_disc, _ring, _square, _cross, _triangle)):
        of_shape = shapes == shape
        reach[of_shape] = distance(u[of_shape], v[of_shape])
    return (0.5 - reach / edge).clamp(0, 1)


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
