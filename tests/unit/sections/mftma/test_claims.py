"""Each verdict turns where its criterion says so."""

import numpy as np
import pytest
import xarray as xr

from landscape_utils.data.labels import SUBSETS
from landscape_utils.sections.mftma import claims as verdicts
from landscape_utils.suite.claims import Judgement

LAYERS = ["pixels", *"abcdefgh"]
JITTER = np.array([-0.01, 0.0, 0.01])


def verdicts_of(judgement: Judgement) -> dict[str, str]:
    return {part.name: part.verdict for part in judgement.parts}


def accuracies(*, end: float = 1.0, fall: float = 0.1, restored: float = 0.6, permuted: float = 0.15) -> xr.Dataset:
    """Make three seeds of five epochs, the best of them the third."""
    test = np.array([0.1, 0.5, 0.7, 0.7 - fall / 2, 0.7 - fall])
    train = np.array([0.1, 0.4, 0.5, 0.8, end])
    kinds = np.array(
        [[0.1] * 4, [0.5, 0.12, 0.4, 0.5], [0.8, permuted, restored, 0.7], [0.9, 0.6, 0.3, 0.65], [1, 1, 0.1, 0.6]]
    )
    spread = JITTER[:, None]
    return xr.Dataset(
        {
            "train_accuracy": (("seed", "epoch"), np.tile(train, (3, 1))),
            "test_accuracy": (("seed", "epoch"), test + spread * np.arange(5)),
            "subset_accuracy": (("seed", "epoch", "subset"), kinds + spread[..., None] * np.linspace(0, 1, 5)[:, None]),
            "best": ("seed", [2, 2, 2]),
            "last": ("seed", [4, 4, 4]),
        },
        coords={"seed": range(3), "epoch": range(5), "subset": list(SUBSETS)},
    )


@pytest.mark.parametrize(
    ("change", "unseen"), [({}, []), ({"end": 0.9}, ["memorized"]), ({"fall": 0.0}, ["falls"])], ids=str
)
def test_memorizing_needs_the_fit_and_the_fall(change: dict[str, float], unseen: list[str]) -> None:
    got = verdicts.memorizing(accuracies(**change))
    assert got.id == "MG-1"
    assert [name for name, verdict in verdicts_of(got).items() if verdict != "seen"] == unseen
    assert got.note == "Best epoch 2, last epoch 4."


@pytest.mark.parametrize(
    ("change", "unseen", "epoch"),
    [({}, [], 3), ({"restored": 0.1}, ["gain", "lead"], 3), ({"permuted": 0.5}, [], 2)],
    ids=str,
)
def test_restored_labels_come_before_memorization(change: dict[str, float], unseen: list[str], epoch: int) -> None:
    got = verdicts.restored_first(accuracies(**change))
    assert got.id == "MG-2"
    assert [name for name, verdict in verdicts_of(got).items() if verdict != "seen"] == unseen
    assert got.note.startswith(f"Memorization begins in epoch {epoch};")


def test_where_permuted_labels_are_never_learned_nothing_comes_before() -> None:
    found = accuracies()
    found["subset_accuracy"].loc[{"subset": "permuted", "seed": 1}] = 0.1
    got = verdicts.restored_first(found)
    assert (got.verdict, got.parts[0].reason) == ("not tested", "not in every seed are permuted labels learned")


def geometry(**late: float) -> xr.Dataset:
    """Make manifolds that agree everywhere; `late` scales the last two layers' final capacity of a subset."""
    shape = (3, 2, 4, len(LAYERS))
    capacity = np.full(shape, 0.06)
    capacity[:, :, 1] = 0.041
    for subset, factor in late.items():
        capacity[:, 1, SUBSETS.index(subset), -2:] *= factor + JITTER[:, None]
    depth = np.arange(len(LAYERS))
    down = np.broadcast_to(2 - 0.1 * depth, shape)
    return xr.Dataset(
        {name: (("seed", "epoch", "subset", "layer"), values) for name, values in _all(capacity, down).items()},
        coords={
            "seed": range(3),
            "epoch": ["best", "final"],
            "subset": list(SUBSETS),
            "layer": LAYERS,
            "depth": ("layer", depth),
        },
    )


def _all(capacity: np.ndarray, down: np.ndarray) -> dict[str, np.ndarray]:
    bound = np.full_like(capacity, 0.04)
    return {
        "capacity": capacity,
        "radius": down,
        "dimension": 10 * down,
        "lower_bound": bound,
        "ball_capacity": capacity,
    }


def test_the_late_layers_are_the_last_quarter() -> None:
    assert verdicts.depths(geometry()) == (list("abcdefgh"), list("abcd"), list("gh"))


def test_subsets_that_agree_at_best_are_alike_and_a_layer_that_does_not_breaks_it() -> None:
    found = geometry()
    assert verdicts_of(verdicts.alike_at_best(found)) == {"agree": "seen", "bound": "seen"}
    for subset, factor, part in (("restored", 1.4, "agree"), ("permuted", 1.3, "bound")):
        other = found.copy(deep=True)
        other["capacity"].loc[{"epoch": "best", "subset": subset, "layer": "c"}] *= factor
        assert verdicts_of(verdicts.alike_at_best(other))[part] == "not seen"
    found["capacity"].loc[{"subset": "test", "layer": "pixels"}] *= 3  # the pixels do not count
    assert verdicts.alike_at_best(found).verdict == "reproduced"


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        ({"permuted": 2.0, "restored": 0.7}, {"late": "seen", "early": "seen", "restored": "seen"}),
        ({"permuted": 1.0, "restored": 0.7}, {"late": "undecided", "early": "seen", "restored": "seen"}),
        ({"permuted": 2.0, "restored": 1.2}, {"late": "seen", "early": "seen", "restored": "not seen"}),
    ],
)
def test_late_layers_memorize_where_permuted_rises_and_restored_falls(
    late: dict[str, float], expected: dict[str, str]
) -> None:
    got = verdicts.late_layers_memorize(geometry(**late))
    assert (got.id, verdicts_of(got)) == ("MG-4", expected)
    assert got.parts[0].effect == pytest.approx(late["permuted"] - 1)
    assert verdicts.late_layers_memorize(geometry(**late), claim="MG-14").id == "MG-14"


def test_an_early_layer_that_memorizes_breaks_it() -> None:
    found = geometry(permuted=2.0, restored=0.7)
    found["capacity"].loc[{"epoch": "final", "subset": "permuted", "layer": list("abcd")}] *= 1.2
    assert verdicts_of(verdicts.late_layers_memorize(found))["early"] == "not seen"
    found["capacity"].loc[{"epoch": "final", "subset": "permuted", "layer": list("ab")}] /= 1.2**2  # in both ways
    assert verdicts_of(verdicts.late_layers_memorize(found))["early"] == "not seen"


def test_shrinking_looks_at_the_weakest_of_three_subsets() -> None:
    found = geometry()
    assert verdicts_of(verdicts.shrinking_with_depth(found)) == {"radius": "seen", "dimension": "seen"}
    found["radius"] = found["radius"].copy()
    found["radius"].loc[{"subset": "test"}] = found["radius"].sel(subset="test").values[..., ::-1]
    assert verdicts_of(verdicts.shrinking_with_depth(found)) == {"radius": "not seen", "dimension": "seen"}


def test_theory_matches_within_a_quarter_in_the_worst_case() -> None:
    counted = xr.Dataset(
        {
            "mean_field": (("seed", "subset", "layer"), np.full((3, 4, 2), 0.1)),
            "empirical": (("seed", "subset", "layer"), np.full((3, 4, 2), 0.095)),
        },
        coords={"subset": list(SUBSETS), "layer": ["a", "b"]},
    )
    assert verdicts_of(verdicts.theory_matches(counted, counted)) == {"factor": "seen", "many": "seen"}
    fine = counted
    counted = counted.copy(deep=True)
    counted["empirical"].loc[{"subset": "restored", "layer": "b"}] = 0.05
    counted["empirical"].loc[{"subset": "test", "layer": "a"}] = np.nan
    got = verdicts.theory_matches(counted, None)
    assert (got.verdict, got.parts[0].effect) == ("not reproduced", pytest.approx(2))
    assert got.note == "86% of 21 are within 1.25; median ratio 1.05."
    assert verdicts_of(got)["many"] == "not tested"
    assert verdicts_of(verdicts.theory_matches(fine, counted)) == {"factor": "seen", "many": "not seen"}
    assert verdicts.theory_matches(counted * np.nan, None).verdict == "not tested"


def test_balls_match_nineteen_times_of_twenty() -> None:
    found = geometry()
    assert verdicts_of(verdicts.balls_match(found, found)) == {"share": "seen", "many": "seen"}
    assert verdicts_of(verdicts.balls_match(found, None)) == {"share": "seen", "many": "not tested"}
    found["ball_capacity"] = found["ball_capacity"] * np.where(np.arange(len(LAYERS)) == 1, 2, 1)
    got = verdicts.balls_match(found, None)
    assert (got.verdict, got.parts[0].effect) == ("not reproduced", pytest.approx(8 / 9))


def shares(test_at_last: list[float], middle: float = 1.0, permuted: float = 0.1) -> xr.Dataset:
    capacity = np.full((3, 3, 4, 3), 0.06)
    capacity[:, :, 3, 2], capacity[2, :, 3, 1] = np.array(test_at_last)[:, None], 0.06 * middle
    capacity[:, :, 1, 2], capacity[0, :, 1:3] = permuted, np.nan
    capacity *= 1 + JITTER[:, None, None]
    over = ("epsilon", "seed", "subset", "layer")
    return xr.Dataset(
        {"capacity": (over, capacity), "lower_bound": (over, np.full_like(capacity, 0.04))},
        coords={"epsilon": [0.0, 0.5, 1.0], "subset": list(SUBSETS), "layer": list("abc")},
    )


@pytest.mark.parametrize(
    ("found", "unseen"),
    [
        (shares([0.3, 0.2, 0.1]), []),
        (shares([0.1, 0.3, 0.2]), ["last"]),
        (shares([0.3, 0.2, 0.1], middle=1.5), ["middle"]),
        (shares([0.3, 0.2, 0.1], permuted=0.04), ["permuted"]),
    ],
    ids=["the claim", "no order", "the middle layer", "no capacity"],
)
def test_only_the_last_layer_depends_on_the_share(found: xr.Dataset, unseen: list[str]) -> None:
    got = verdicts.share_of_permuted(found, list("abc"))
    assert got.id == "MG-15"
    assert [name for name, verdict in verdicts_of(got).items() if verdict != "seen"] == unseen


def test_two_shares_of_permuted_labels_are_no_course() -> None:
    few = shares([0.3, 0.2, 0.1]).isel(epsilon=slice(2))
    assert set(verdicts_of(verdicts.share_of_permuted(few, list("abc"))).values()) == {"not tested"}


def agreements(permuted_at_end: float, *, restored_in_middle: float = 0.8) -> xr.Dataset:
    """Give every subset its share of examples that agree with their neighbours, by seed, epoch and layer."""
    values = np.full((3, 2, 2, 4), 0.8)
    values[..., SUBSETS.index("permuted")] = 0.1
    values[:, 1, 1, SUBSETS.index("permuted")] = permuted_at_end
    values[:, 1, 1, SUBSETS.index("restored")] = 0.9 - permuted_at_end
    values[:, 1, 0, SUBSETS.index("restored")] = restored_in_middle
    values += JITTER[:, None, None, None] * np.arange(1, 5)
    return xr.Dataset(
        {"agreement": (("seed", "epoch", "layer", "subset"), values)},
        coords={"epoch": ["best", "final"], "layer": ["middle", "last"], "subset": list(SUBSETS)},
    )


@pytest.mark.parametrize(
    ("found", "unseen"),
    [
        (agreements(0.7), []),
        (agreements(0.1), ["end", "restored"]),
        (agreements(0.7, restored_in_middle=0.05), ["middle"]),
    ],
    ids=["memorized", "not memorized", "the middle forgets"],
)
def test_planes_separate_permuted_examples_only_at_the_end(found: xr.Dataset, unseen: list[str]) -> None:
    got = verdicts.planes_separate(found, "middle", "last")
    assert got.id == "MG-13"
    assert [name for name, verdict in verdicts_of(got).items() if verdict != "seen"] == unseen
    assert "last, best: unpermuted 80%, restored 80%, test 80%, permuted 10%" in got.note
