import hashlib
import subprocess
import sys

import numpy as np
import pytest

from landscape_utils.data import letters as glyphs

PROGRAM = """
import hashlib, numpy as np
from landscape_utils.data import letters as glyphs
print(hashlib.sha256(glyphs.render(glyphs.GLYPHS10, np.arange(40) % 10, seed=5).tobytes()).hexdigest())
"""


def test_same_seed_gives_same_bytes_in_another_process() -> None:
    here = hashlib.sha256(glyphs.render(glyphs.GLYPHS10, np.arange(40) % 10, seed=5).tobytes()).hexdigest()
    there = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.strip()
    assert here == there


def test_another_seed_gives_other_bytes() -> None:
    labels = np.arange(20) % 10
    assert (glyphs.render(glyphs.GLYPHS10, labels, seed=1) != glyphs.render(glyphs.GLYPHS10, labels, seed=2)).any()


def test_alphabets_hold_distinct_characters_that_every_font_can_draw() -> None:
    assert len(set(glyphs.GLYPHS10)) == 10
    assert len(set(glyphs.GLYPHS100)) == 100
    assert sorted(c for pair in glyphs.KNOWN_PAIRS for c in pair) == sorted(glyphs.GLYPHS10)
    for font in range(len(glyphs._font_files())):
        masks = {np.asarray(glyphs._mask(c, font, 0.0)).tobytes() for c in glyphs.GLYPHS100}
        # A character that a font lacks is drawn as the same box as every other one it lacks.
        assert len(masks) == 100
        assert all(any(mask) for mask in masks)


def test_difficulty_zero_is_noiseless_and_one_is_not() -> None:
    labels = np.zeros(5, np.int64)
    clean, noisy = (glyphs.render(("O",), labels, difficulty=d, seed=0) for d in (0.0, 1.0))
    corner = (slice(None), slice(0, 3), slice(0, 3))  # paper without ink
    assert np.ptp(clean[corner].reshape(5, -1, 3), axis=1).max() == 0
    assert np.ptp(noisy[corner].reshape(5, -1, 3), axis=1).min() > 0


def test_letters_are_lighter_than_their_paper() -> None:
    clean = glyphs.render(glyphs.GLYPHS10, np.arange(50) % 10, difficulty=0.0, seed=0).astype(int)
    assert (clean.max((1, 2)) - clean[:, 0, 0] > 50).all()


def test_negative_difficulty_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 0"):
        glyphs.render(("O",), np.zeros(1, np.int64), difficulty=-1)
