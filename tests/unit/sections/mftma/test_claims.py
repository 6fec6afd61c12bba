"""Each verdict turns where its criterion says so."""

import numpy as np
import pytest
import xarray as xr

from landscape_utils.data.labels import SUBSETS
from landscape_utils.sections.mftma import claims as verdicts

LAYERS = ["pixels", *"abcdefgh"]
JITTER = np.array([-0.01, 0.0, 0.01])


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
    ("change", "verdict"), [({}, "reproduced"), ({"end": 0.9}, "not reproduced"), ({"fall": 0.0}, "not reproduced")]
)
def test_memorizing_needs_the_fit_and_the_fall(change: dict[str, float], verdict: str) -> None:
    got = verdicts.memorizing(accuracies(**change))
    assert (got.id, got.verdict) == ("MG-1", verdict)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [({}, "reproduced"), ({"restored": 0.1}, "not reproduced"), ({"permuted": 0.5}, "reproduced")],
)
def test_restored_labels_come_before_memorization(change: dict[str, float], verdict: str) -> None:
    got = verdicts.restored_first(accuracies(**change))
    assert (got.id, got.verdict) == ("MG-2", verdict)
    assert "before epoch " + ("2" if "permuted" in change else "3") in got.part.measured


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
    assert verdicts.alike_at_best(found).verdict == "reproduced"
    for subset, factor in (("restored", 1.4), ("permuted", 1.3)):
        other = found.copy(deep=True)
        other["capacity"].loc[{"epoch": "best", "subset": subset, "layer": "c"}] *= factor
        assert verdicts.alike_at_best(other).verdict == "not reproduced"
    found["capacity"].loc[{"subset": "test", "layer": "pixels"}] *= 3  # the pixels do not count
    assert verdicts.alike_at_best(found).verdict == "reproduced"


@pytest.mark.parametrize(
    ("late", "verdict"),
    [
        ({"permuted": 2.0, "restored": 0.7}, "reproduced"),
        ({"permuted": 1.0, "restored": 0.7}, "undecided"),
        ({"permuted": 2.0, "restored": 1.0}, "undecided"),
    ],
)
def test_late_layers_memorize_where_permuted_rises_and_restored_falls(late: dict[str, float], verdict: str) -> None:
    got = verdicts.late_layers_memorize(geometry(**late))
    assert (got.id, got.verdict) == ("MG-4", verdict)
    assert got.part.effect == pytest.approx(late["permuted"] - 1)
    assert verdicts.late_layers_memorize(geometry(**late), claim="MG-14").id == "MG-14"


def test_one_seed_has_numbers_and_no_verdict() -> None:
    got = verdicts.late_layers_memorize(geometry(permuted=2.0, restored=0.7).isel(seed=[0]))
    assert (got.verdict, got.part.reason) == ("undecided", "too few seeds: 1 of at least 3")
    assert "permuted late +99%" in got.part.measured


def test_an_early_layer_that_memorizes_breaks_it() -> None:
    found = geometry(permuted=2.0, restored=0.7)
    found["capacity"].loc[{"epoch": "final", "subset": "permuted", "layer": list("abcd")}] *= 1.2
    assert verdicts.late_layers_memorize(found).verdict == "not reproduced"


def test_shrinking_needs_both_and_all_three_subsets() -> None:
    found = geometry()
    assert verdicts.shrinking_with_depth(found).verdict == "reproduced"
    found["radius"] = found["radius"].copy()
    found["radius"].loc[{"subset": "test"}] = found["radius"].sel(subset="test").values[..., ::-1]
    assert verdicts.shrinking_with_depth(found).verdict == "not reproduced"


def test_theory_matches_within_a_quarter_and_names_the_worst() -> None:
    counted = xr.Dataset(
        {
            "mean_field": (("subset", "layer"), np.full((4, 2), 0.1)),
            "empirical": (("subset", "layer"), np.full((4, 2), 0.095)),
        },
        coords={"subset": list(SUBSETS), "layer": ["a", "b"]},
    )
    assert verdicts.theory_matches(counted).verdict == "reproduced"
    counted["empirical"].loc[{"subset": "restored", "layer": "b"}] = 0.05
    counted["empirical"].loc[{"subset": "test", "layer": "a"}] = np.nan
    got = verdicts.theory_matches(counted)
    assert got.verdict == "not reproduced"
    assert "6 of 7 pairs" in got.part.measured
    assert "2.00 (restored in b)" in got.part.measured
    assert got.part.reason.startswith("1 pairs")
    assert verdicts.theory_matches(counted * np.nan).verdict == "not tested"


def test_balls_match_nineteen_times_of_twenty() -> None:
    found = geometry()
    assert verdicts.balls_match(found).verdict == "reproduced"
    found["ball_capacity"] = found["ball_capacity"] * np.where(np.arange(len(LAYERS)) == 1, 2, 1)
    assert verdicts.balls_match(found).verdict == "not reproduced"


def shares(test_at_last: list[float], middle: float = 1.0) -> xr.Dataset:
    capacity = np.full((3, 1, 4, 3), 0.06)
    capacity[:, 0, 3, 2], capacity[2, 0, 3, 1] = test_at_last, 0.06 * middle
    capacity[:, 0, 1, 2], capacity[0, 0, 1:3] = 0.1, np.nan
    return xr.Dataset(
        {
            "capacity": (("epsilon", "seed", "subset", "layer"), capacity),
            "lower_bound": (("epsilon", "seed", "subset", "layer"), np.full_like(capacity, 0.04)),
            "train_accuracy": (("epsilon", "seed"), np.ones((3, 1))),
        },
        coords={"epsilon": [0.0, 0.5, 1.0], "subset": list(SUBSETS), "layer": list("abc")},
    )


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (shares([0.3, 0.2, 0.1]), "reproduced"),
        (shares([0.1, 0.3, 0.2]), "not reproduced"),
        (shares([0.3, 0.2, 0.1], middle=1.5), "not reproduced"),
    ],
)
def test_only_the_last_layer_depends_on_the_share(found: xr.Dataset, verdict: str) -> None:
    got = verdicts.share_of_permuted(found, list("abc"))
    assert (got.id, got.verdict, got.part.reason) == ("MG-15", verdict, "one seed at each other share")


def plane_of(subset_groups: dict[str, np.ndarray], sizes: int = 100) -> np.ndarray:
    """Place examples at their group's spot, with a little noise."""
    random = np.random.default_rng(0)
    spots = np.concatenate([subset_groups[kind] for kind in ("unpermuted", "permuted", "test")])
    return np.column_stack([10.0 * spots, np.zeros(3 * sizes)]) + random.normal(size=(3 * sizes, 2))


def planes(*, memorized: bool) -> xr.Dataset:
    random, size = np.random.default_rng(1), 100
    true, trained, other = (random.integers(0, 4, size) for _ in range(3))
    label = np.full((4, 3 * size), -1)
    label[0, :size], label[1, size : 2 * size], label[2, size : 2 * size], label[3, 2 * size :] = (
        other,
        trained,
        true,
        other,
    )
    by_true = plane_of({"unpermuted": other, "permuted": true, "test": other})
    by_taught = plane_of({"unpermuted": other, "permuted": trained, "test": other})
    position = np.array([[by_true, by_true], [by_true, by_taught if memorized else by_true]])
    return xr.Dataset(
        {"position": (("epoch", "layer", "example", "axis"), position), "label": (("subset", "example"), label)},
        coords={"epoch": ["best", "final"], "layer": ["middle", "last"], "subset": list(SUBSETS)},
    )


@pytest.mark.parametrize(("memorized", "verdict"), [(True, "reproduced"), (False, "not reproduced")])
def test_planes_separate_permuted_examples_only_at_the_end(memorized: bool, verdict: str) -> None:
    got = verdicts.planes_separate(planes(memorized=memorized), "middle", "last")
    assert (got.id, got.verdict) == ("MG-13", verdict)
