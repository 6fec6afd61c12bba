import numpy as np
import pytest
import xarray as xr

from landscape_utils.sections.gradient_split import claims as verdicts
from tests.unit.sections.gradient_split.test_study import sizes

EPOCHS = ["0", "1", "4", "end"]
SEEDS = np.array([0.95, 1.0, 1.05])


def course(dependent=(0.3, 0.2, 0.3, 0.9), independent=1.0, first=1.0, epochs=EPOCHS, seeds=SEEDS):
    """Make norms whose permuted examples have these shares of the unpermuted ones', by epoch."""
    shape = (len(seeds), len(epochs), 3, 3)
    found = {name: np.ones(shape) for name in ("total", "dependent", "independent")}
    found["dependent"][..., 2] = np.array(dependent)[: len(epochs), None] * np.asarray(seeds)[:, None, None]
    found["independent"][:, :, 1, 2] = independent
    found["total"][:, :, 0, 0] = first
    dims = ("seed", "epoch", "layer", "subset")
    coordinates = {
        "seed": range(len(seeds)),
        "epoch": list(epochs),
        "layer": ["conv1", "conv2", "fc"],
        "weights": ("layer", [27, 144, 40]),
        "subset": ["all", "unpermuted", "permuted"],
        "last": ("seed", [9] * len(seeds)),
    }
    return xr.Dataset({name: (dims, values) for name, values in found.items()}, coords=coordinates)


@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        ({}, "reproduced"),
        ({"dependent": (0.8, 0.2, 0.3, 0.9)}, "not reproduced"),
        ({"dependent": (0.3, 0.8, 0.3, 0.9)}, "not reproduced"),
        ({"dependent": (0.3, 0.2, 0.9, 0.9)}, "reproduced"),
        ({"independent": 2.0}, "not reproduced"),
        ({"independent": 0.5}, "not reproduced"),
        ({"first": 0.01}, "not reproduced"),
    ],
)
def test_only_the_dependent_part_tells_permuted_examples_at_the_start(how, verdict):
    got = verdicts.permuted_examples_are_ignored(course(**how))
    assert (got.id, got.verdict) == ("MG-10", verdict)


def test_the_effect_is_the_larger_share_with_its_interval():
    got = verdicts.permuted_examples_are_ignored(course((0.8, 0.2, 0.3, 0.9)))
    assert got.part.effect == pytest.approx(0.8)
    low, high = got.part.interval
    assert low < 0.8 < high
    assert high - low == pytest.approx(2 * 4.3027 * 0.04 / np.sqrt(3), rel=1e-3)
    assert "at the initialisation itself" in got.part.reason
    assert verdicts.permuted_examples_are_ignored(course((0.8, 0.7, 0.3, 0.9))).part.reason == ""


def test_a_share_close_to_the_criterion_is_said_to_be():
    assert verdicts.permuted_examples_are_ignored(course((0.48, 0.2, 0.3, 0.9))).verdict == "undecided"
    assert verdicts.permuted_examples_are_ignored(course()).verdict != "undecided"


def test_without_a_first_epoch_the_initialisation_is_judged():
    got = verdicts.permuted_examples_are_ignored(course(epochs=["0", "end"]))
    assert got.verdict == "reproduced"
    assert "epoch 1" not in got.part.measured


@pytest.mark.parametrize(("worst", "verdict"), [(1e-13, "reproduced"), (1e-8, "not reproduced")])
def test_the_parts_add_up_to_rounding(worst, verdict):
    sums = xr.DataArray([[1e-15, worst], [1e-14, 1e-15]], dims=("seed", "epoch"))
    got = verdicts.parts_add_up(xr.Dataset({"sum": sums, "closed_form": sums}))
    assert (got.id, got.verdict, got.part.effect) == ("MG-11", verdict, worst)


def test_noise_falls_with_the_number_and_a_signal_does_not():
    got = verdicts.falls_with_their_number(sizes(2.0, 0.3))
    assert (got.id, got.verdict) == ("MG-12", "reproduced")
    assert got.part.effect == pytest.approx(-0.5)
    swapped = sizes(2.0, 0.3).assign_coords(subset=["permuted", "unpermuted"])
    assert verdicts.falls_with_their_number(swapped).verdict == "not reproduced"
    both = sizes(2.0, 0.3)
    both["dependent"][:] = both["dependent"].sel(subset="unpermuted")
    assert verdicts.falls_with_their_number(both).verdict == "undecided"


def test_two_numbers_of_examples_make_no_exponent():
    got = verdicts.falls_with_their_number(sizes(2.0, 0.3, numbers=(25, 50)))
    assert got.verdict == "not tested"
