import numpy as np
import pytest
import torch

from landscape_utils.data.augmentation import crop_and_flip, padding


def by_hand(image: torch.Tensor, down: int, right: int, mirrored: bool, fill: torch.Tensor) -> torch.Tensor:
    """Crop one padded image and mirror it, pixel by pixel."""
    channels, height, width = image.shape
    my, mx = padding(height), padding(width)
    out = torch.empty_like(image)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                y, x = i + down - my, (width - 1 - j if mirrored else j) + right - mx
                inside = 0 <= y < height and 0 <= x < width
                out[c, i, j] = image[c, y, x] if inside else fill[c]
    return out


@pytest.mark.parametrize("shape", [(6, 3, 16, 16), (4, 1, 8, 24)])
def test_equals_a_loop_over_pixels(shape: tuple[int, int, int, int]) -> None:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    fill = torch.arange(shape[1], dtype=torch.float32) - 5
    got = crop_and_flip(images, torch.Generator().manual_seed(1), fill=fill)
    g = torch.Generator().manual_seed(1)
    down = torch.randint(0, 2 * padding(shape[2]) + 1, (shape[0], 1), generator=g)
    right = torch.randint(0, 2 * padding(shape[3]) + 1, (shape[0], 1), generator=g)
    mirrored = torch.rand((shape[0], 1), generator=g) < 0.5
    want = [by_hand(images[n], int(down[n]), int(right[n]), bool(mirrored[n]), fill) for n in range(shape[0])]
    torch.testing.assert_close(got, torch.stack(want), rtol=0, atol=1e-6)


def test_all_shifts_and_both_sides_occur() -> None:
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 5, 6] = 1
    batch = crop_and_flip(image.expand(4000, -1, -1, -1), torch.Generator().manual_seed(0))
    places = {(int(i) // 16, int(i) % 16) for i in batch.flatten(1).argmax(1)}
    assert {y for y, _ in places} == set(range(3, 8))
    assert {x for _, x in places} == set(range(4, 9)) | set(range(7, 12))


def test_without_crop_and_flip_nothing_changes() -> None:
    images = torch.randn(3, 3, 8, 8)
    assert crop_and_flip(images, torch.Generator(), crop=False, flip=False) is images


def test_flip_alone_mirrors() -> None:
    images = torch.randn(200, 1, 8, 8)
    got = crop_and_flip(images, torch.Generator().manual_seed(0), crop=False)
    same = (got == images).flatten(1).all(1)
    mirrored = (got == images.flip(3)).flatten(1).all(1)
    assert bool((same ^ mirrored).all())
    assert 60 < int(mirrored.sum()) < 140


def test_one_pixel_inputs_pass() -> None:
    images = torch.randn(5, 1024, 1, 1)
    assert np.array_equal(crop_and_flip(images, torch.Generator(), flip=False).numpy(), images.numpy())
