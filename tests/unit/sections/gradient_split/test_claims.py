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


def parts(judgement):
    return {part.name: part.verdict for part in judgement.parts}


@pytest.mark.parametrize(
    ("how", "part", "verdict"),
    [
        ({}, "first_epoch", "seen"),
        ({"dependent": (0.3, 0.8, 0.3, 0.9)}, "first_epoch", "not seen"),
        ({"dependent": (0.3, 0.48, 0.9, 0.9)}, "first_epoch", "undecided"),
        ({}, "alike", "seen"),
        ({"independent": 2.0}, "alike", "not seen"),
        ({"independent": 0.5}, "alike", "not seen"),
        ({}, "first_layer", "seen"),
        ({"first": 0.01}, "first_layer", "not seen"),
    ],
)
def test_only_the_dependent_part_tells_permuted_examples_near_the_start(how, part, verdict):
    got = verdicts.permuted_examples_are_ignored(course(**how), sizes(2.0, 0.3))
    assert got.id == "MG-10"
    others = {"first_epoch", "alike", "first_layer"} - {part}
    assert parts(got)[part] == verdict
    assert {parts(got)[name] for name in others} == {"seen"}


def test_the_initialisation_is_looked_at_over_the_most_examples():
    for signal, verdict in ((0.3, "seen"), (0.01, "not seen")):
        scaling = sizes(2.0, signal)
        got = verdicts.permuted_examples_are_ignored(course(), scaling)
        most = scaling["dependent"].isel(number=-1).mean(("seed", "layer"))
        share = float(most.sel(subset="permuted") / most.sel(subset="unpermuted"))
        assert got.parts[0].effect == pytest.approx(np.log2(share), abs=0.15)
        assert parts(got)["initial"] == verdict
        assert f"over {int(scaling['number'].max()):,} examples" in got.note


def test_without_a_first_epoch_its_part_is_not_tested():
    got = verdicts.permuted_examples_are_ignored(course(epochs=["0", "end"]), sizes(2.0, 0.3))
    assert parts(got)["first_epoch"] == "not tested"


@pytest.mark.parametrize(("worst", "verdict"), [(1e-13, "exact"), (1e-8, "not seen")])
def test_the_parts_add_up_to_rounding(worst, verdict):
    sums = xr.DataArray([[1e-15, worst], [1e-14, 1e-15]], dims=("seed", "epoch"))
    got = verdicts.parts_add_up(xr.Dataset({"sum": sums, "closed_form": sums}))
    assert (got.id, parts(got)) == ("MG-11", {"sum": verdict, "closed_form": verdict})


def test_a_last_layer_without_a_closed_form_is_not_tested():
    sums = xr.DataArray([[1e-15, 1e-15]], dims=("seed", "epoch"))
    got = verdicts.parts_add_up(xr.Dataset({"sum": sums, "closed_form": sums * np.nan}))
    assert parts(got) == {"sum": "exact", "closed_form": "not tested"}


def test_noise_falls_with_the_number_and_a_signal_does_not():
    got = verdicts.falls_with_their_number(sizes(2.0, 0.3))
    assert (got.id, parts(got)) == ("MG-12", {"exponent": "seen", "steeper": "seen"})
    assert got.parts[0].effect == pytest.approx(0, abs=1e-6)
    swapped = sizes(2.0, 0.3).assign_coords(subset=["permuted", "unpermuted"])
    assert set(parts(verdicts.falls_with_their_number(swapped)).values()) == {"not seen"}


def test_two_numbers_of_examples_make_no_exponent():
    got = verdicts.falls_with_their_number(sizes(2.0, 0.3, numbers=(25, 50)))
    assert got.verdict == "not tested"
