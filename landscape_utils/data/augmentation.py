"""Random crop and flip of a whole batch at once, on the device where the images live."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def padding(size: int) -> int:
    """Return the usual crop margin: an eighth of the side (4 for 32x32, as the papers' recipes have it)."""
    return size // 8


def crop_and_flip(
    images: Tensor,
    generator: torch.Generator,
    *,
    crop: bool = True,
    flip: bool = True,
    fill: Tensor | None = None,
) -> Tensor:
    """Shift each image by up to an eighth of its side, and mirror every other one on average.

    One gather does both for the batch; the result lies in channels-last memory.

    Args:
        images: shape (N, C, H, W).
        generator: a CPU generator, so that a seed gives the same batch on every device.
        crop: shift the images.
        flip: mirror half of the images.
        fill: what lies beyond the border, shape (C,); the normalised value of black, or 0.

    Returns:
        Images of the same shape.
    """
    n, channels, height, width = images.shape
    if not (crop or flip):
        return images
    margin_y, margin_x = (padding(height), padding(width)) if crop else (0, 0)
    # Shifted so that zero padding is the fill.
    shift = torch.zeros(channels, device=images.device) if fill is None else fill.to(images)
    padded = F.pad(images - shift[:, None, None], (margin_x, margin_x, margin_y, margin_y)) + shift[:, None, None]
    down = torch.randint(0, 2 * margin_y + 1, (n, 1), generator=generator)
    right = torch.randint(0, 2 * margin_x + 1, (n, 1), generator=generator)
    mirrored = torch.rand((n, 1), generator=generator) < (0.5 if flip else 0.0)
    rows = (down + torch.arange(height)).to(images.device)
    columns = torch.arange(width).expand(n, width)
    columns = (right + torch.where(mirrored, columns.flip(1), columns)).to(images.device)
    image = torch.arange(n, device=images.device)
    cropped = padded.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2)
