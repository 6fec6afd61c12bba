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


def parts(judgement):
    return {part.name: part for part in judgement.parts}


@pytest.mark.parametrize(
    ("last", "first", "unseen"),
    [(0.76, 0.5, []), (0.60, 0.5, ["late", "of_lost", "last"]), (0.76, 0.79, ["first"])],
    ids=["gives it back", "too little", "so does the first"],
)
def test_a_late_convolution_gives_back_what_the_first_does_not(last, first, unseen):
    got = verdicts.late_convolutions_give_it_back({"vgg11": courses(last, first=first)})
    assert got.id == "MG-7"
    found = parts(got)
    assert [name for name, part in found.items() if part.verdict not in ("seen", "not tested")] == unseen
    assert found["last"].effect == pytest.approx(last / 0.8, abs=0.002)
    assert found["of_lost"].effect == pytest.approx((last - 0.5) / 0.3, abs=0.002)
    assert found["first"].effect == pytest.approx(first / 0.8, abs=0.002)
    assert "no resnet18 among the architectures" in found["resnet18"].reason


def test_the_other_seeds_choose_the_late_convolution():
    curves = courses(0.6)["accuracy"].sel(subset="test").values.copy()
    curves[:, 2, 1] = 0.7
    curves[0, 3, 1], curves[0, 2, 1] = 0.79, 0.55  # seed 0 alone has its best in the last convolution
    got = verdicts.late_convolutions_give_it_back({"vgg11": made(curves)})
    # Without seed 1 or seed 2 the last convolution has the higher mean, of 0.79 and 0.6.
    assert parts(got)["late"].effect == pytest.approx(np.mean([0.55 / 0.8, 0.601 / 0.801, 0.602 / 0.802]))
    assert "late: conv 3, conv 4." in got.note
    assert "early-stopped 80.1%, final 50.1%" in got.note


def test_resnets_last_convolution_must_do_best_at_the_initialisation():
    tables = {"vgg16": courses(0.76)}
    for peak, verdict in ((0, "seen"), (1, "not seen")):
        got = verdicts.late_convolutions_give_it_back({**tables, "resnet18": courses(0.76, peak=peak)})
        assert parts(got)["resnet18"].verdict == verdict
        assert parts(got)["resnet18"].effect == peak


def test_where_nothing_was_lost_nothing_can_be_given_back():
    got = verdicts.late_convolutions_give_it_back({"vgg11": courses(0.78, final=0.75)})
    assert got.verdict == "not tested"
    assert parts(got)["late"].reason == "nothing to give back: vgg11 ends with 94% of it"


def test_a_network_needs_two_convolutions():
    table = courses(0.76)
    linear = table.assign_coords(title=("rewound", ["linear 1", "linear 2", "linear 3", "conv 1", "all"]))
    assert (
        parts(verdicts.late_convolutions_give_it_back({"mlp": linear}))["late"].reason == "mlp has no two convolutions"
    )
    assert verdicts.early_layers_settle_later({"mlp": linear}).verdict == "not tested"


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
        ([[8, 6, 4, 2], [2, 4, 6, 8], [8, 2, 6, 4]], "undecided", -0.133),
    ],
    ids=["early ones late", "early ones early", "no order"],
)
def test_early_layers_must_settle_later_in_every_seed(epochs, verdict, effect):
    got = verdicts.early_layers_settle_later({"vgg11": settled_at(epochs)})
    assert (got.id, got.verdict) == ("MG-8", verdict)
    assert got.part.effect == pytest.approx(effect, abs=0.001)
    mean = ", ".join(f"{m:.1f}" for m in np.mean(epochs, axis=0))
    assert got.note == f"Epochs by depth, means over seeds: {mean}."


def test_layers_that_settle_together_have_no_order():
    got = verdicts.early_layers_settle_later({"vgg11": settled_at([[3, 3, 3, 3], [2, 4, 5, 6]])})
    assert got.verdict == "undecided"
    assert got.part.reason == "too few seeds: 1 of at least 3"
