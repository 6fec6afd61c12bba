import numpy as np
import pytest

from landscape_utils.sections.rewinding import claims as verdicts
from tests.unit.sections.rewinding.test_study import made


def courses(last, *, first=0.5, final=0.5, stopped=0.8, seeds=3, peak=1):
    """Make four convolutions of which the last reaches `last` at an early epoch."""
    curves = np.full((seeds, 5, 4), final)
    curves[:, 0, peak], curves[:, 3, peak], curves[:, 4, 1] = first, last, stopped
    curves += 0.001 * np.arange(seeds)[:, None, None]
    return made(curves)


@pytest.mark.parametrize(
    ("last", "first", "verdict"),
    [(0.76, 0.5, "reproduced"), (0.60, 0.5, "not reproduced"), (0.76, 0.79, "not reproduced")],
    ids=["gives it back", "too little", "so does the first"],
)
def test_the_last_convolution_gives_back_what_the_first_does_not(last, first, verdict):
    got = verdicts.last_convolution_gives_it_back({"vgg11": courses(last, first=first)})
    assert (got.id, got.verdict) == ("MG-7", verdict)
    assert got.part.effect == pytest.approx(last / 0.8, abs=0.002)
    assert got.part.interval[0] <= got.part.effect <= got.part.interval[1]
    assert "no resnet18 among the architectures" in got.part.reason


def test_both_shares_are_told_and_the_layer_that_gives_back_most():
    curves = courses(0.56)["accuracy"].sel(subset="test").values
    curves[:, 2, 1] = 0.77
    told = verdicts.last_convolution_gives_it_back({"vgg11": made(curves)}).part.measured
    assert "final 50.1%, early-stopped 80.1%" in told
    assert (
        "last (conv 4): 56.1%, 0.70 (0.70 to 0.70) of the early-stopped, 0.20 (0.20 to 0.20) of what was lost" in told
    )
    assert "best (conv 3): 77.0%" in told
    assert "last minus first 0.06" in told


def test_resnets_last_convolution_must_do_best_at_the_initialisation():
    tables = {"vgg16": courses(0.76)}
    for peak, verdict in ((0, "reproduced"), (1, "not reproduced")):
        got = verdicts.last_convolution_gives_it_back({**tables, "resnet18": courses(0.76, peak=peak)})
        assert (got.verdict, got.part.reason) == (verdict, "")
        assert f"resnet18: last convolution highest at epoch {peak}" in got.part.measured
    worse = {"vgg16": courses(0.6), "resnet18": courses(0.76, peak=0)}
    assert verdicts.last_convolution_gives_it_back(worse).verdict == "not reproduced"


def test_where_nothing_was_lost_nothing_can_be_given_back():
    got = verdicts.last_convolution_gives_it_back({"vgg11": courses(0.78, final=0.75)})
    assert got.verdict == "not tested"
    assert "the final network has 75.1% as it is" in got.part.reason
    none = verdicts.last_convolution_gives_it_back({"vgg11": courses(0.5, final=0.8, stopped=0.8)})
    assert "- of what was lost" in none.part.measured


def test_a_network_needs_two_convolutions():
    table = courses(0.76)
    linear = table.assign_coords(title=("rewound", ["linear 1", "linear 2", "linear 3", "conv 1", "all"]))
    assert verdicts.last_convolution_gives_it_back({"mlp": linear}).part.reason == "mlp has no two convolutions"
    assert verdicts.early_layers_settle_later({"mlp": linear}).verdict == "undecided"


def settled_at(epochs):
    """Make training curves that reach the final accuracy at these epochs, (seed, convolution)."""
    epochs = np.asarray(epochs)
    when = np.concatenate([epochs, np.full((len(epochs), 1), 9)], axis=1)
    return made((np.arange(10) >= when[..., None]).astype(float), "train")


@pytest.mark.parametrize(
    ("epochs", "verdict", "effect"),
    [
        ([[8, 6, 4, 2], [7, 6, 5, 1], [8, 5, 4, 3]], "reproduced", -1.0),
        ([[2, 4, 6, 8], [1, 5, 6, 7], [3, 4, 5, 8]], "not reproduced", 1.0),
        ([[8, 6, 4, 2], [2, 4, 6, 8], [8, 2, 6, 4]], "not reproduced", -0.133),
    ],
    ids=["early ones late", "early ones early", "no order"],
)
def test_early_layers_must_settle_later_in_every_seed(epochs, verdict, effect):
    got = verdicts.early_layers_settle_later({"vgg11": settled_at(epochs)})
    assert (got.id, got.verdict) == ("MG-8", verdict)
    assert got.part.effect == pytest.approx(effect, abs=0.001)
    mean = ", ".join(f"{m:.1f}" for m in np.mean(epochs, axis=0))
    assert got.part.measured.endswith(f"by depth {mean}")


def test_layers_that_settle_together_have_no_order():
    got = verdicts.early_layers_settle_later({"vgg11": settled_at([[3, 3, 3, 3], [2, 4, 5, 6]])})
    assert got.verdict == "undecided"
    assert got.part.reason.startswith("too few seeds: 1 of at least 3; the others")
