import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import landscape_utils as lu
from landscape_utils.data.datasets import Labelled
from landscape_utils.engine.class_gradients import class_gradients
from landscape_utils.interference import ego, flatness
from landscape_utils.kit.bars import BAR
from landscape_utils.sections.ego_flatness import study as ego_study
from landscape_utils.sections.ego_flatness.study import Kind, Member, Moved
from tests.unit.interference.test_cctm import rates_of

CLASSES = ("cat", "bird", "ship", "dog")
PAIR, OTHER = ("ship", "cat"), ("bird", "dog")
SIGMA = {Kind("wide", "big-lr"): 0.5, Kind("wide", "anneal-lr"): 4.0, Kind("deep", "big-lr"): 2.0}


def rates_with(errors: dict[str, float], classes: int) -> xr.DataArray:
    """A CCTM over classes a, b, ... whose pairs, as "ab", have these rates in both directions together."""
    matrix = np.zeros((classes, classes))
    for pair, rate in errors.items():
        a, b = map("abcdefgh".index, pair)
        matrix[a, b] += 0.75 * rate
        matrix[b, a] += 0.25 * rate
    return rates_of(matrix + np.diag(1 - matrix.sum(1)))


def pairs_of(*texts: str) -> list[tuple[str, str]]:
    return [(text[0], text[1]) for text in texts]


# --- pairs ---


def test_pairs_are_ordered_by_their_share_of_the_errors() -> None:
    errors = {"ab": 0.05, "ac": 0.2, "bc": 0.1}
    assert ego_study.ordered_pairs(rates_with(errors, 3)) == pairs_of("ac", "bc", "ab")
    weighed = rates_with(errors, 3).assign_coords(examples=("true", [1, 1000, 10]))
    assert ego_study.ordered_pairs(weighed) == pairs_of("bc", "ab", "ac")


@pytest.mark.parametrize(
    ("errors", "classes", "want"),
    [
        # The second is not "ac", which shares a class; the last not "gh", which is not the least, nor "af".
        ({"ab": 0.4, "ac": 0.3, "cd": 0.2, "gh": 0.1, "af": 0.0, "eg": 0.0}, 8, ("ab", "cd", "fh")),
        ({"bc": 0.4, "ef": 0.3, "ad": 0.2}, 6, ("bc", "ef", "ad")),  # all that is left, though not the least
        ({"ab": 0.4, "cd": 0.1, "ce": 0.2}, 5, ("ab", "ce", "de")),  # too few: the least of all pairs
        ({"ab": 0.4, "ac": 0.05, "ad": 0.1, "bc": 0.1, "bd": 0.1, "cd": 0.2}, 4, ("ab", "cd", "ac")),
        ({"ab": 0.1, "ac": 0.3, "bc": 0.2}, 3, ("ac", "bc", "ab")),
        ({"ab": 0.1}, 2, ("ab", "ab", "ab")),
    ],
)
def test_three_pairs_are_the_most_the_next_and_the_least_interfering(
    errors: dict[str, float], classes: int, want: Sequence[str]
) -> None:
    assert ego_study.chosen_pairs(rates_with(errors, classes), []) == pairs_of(*want)


def test_without_errors_pairs_come_in_the_order_of_the_classes() -> None:
    assert ego_study.chosen_pairs(rates_with({}, 6), []) == pairs_of("ab", "cd", "ef")
    missing = rates_with({"ab": 0.1, "cd": 0.2}, 6)
    missing[4] = np.nan
    assert ego_study.chosen_pairs(missing, []) == pairs_of("cd", "ab", "ef")


def test_pairs_are_read_by_long_and_short_names() -> None:
    names = ("airplane", "automobile", "cat")
    assert ego_study.named_pairs(names, ["cat-car", "plane-cat"]) == [("cat", "automobile"), ("airplane", "cat")]
    assert ego_study.named_pairs(names, None) == []
    with pytest.raises(ValueError, match="name two different classes"):
        ego_study.named_pairs(names, ["cat-cat"])
    with pytest.raises(ValueError, match="unknown class 'cta'; the nearest valid names are: cat"):
        ego_study.named_pairs(names, ["car-cta"])


def test_given_pairs_come_first_and_are_filled_up() -> None:
    rates = rates_with({"ab": 0.4, "cd": 0.3}, 6)
    assert ego_study.chosen_pairs(rates, []) == pairs_of("ab", "cd", "ef")
    assert ego_study.chosen_pairs(rates, pairs_of("ba")) == pairs_of("ba", "cd", "ef")
    assert ego_study.chosen_pairs(rates, pairs_of("af", "bc", "de")) == pairs_of("af", "bc", "de")


@pytest.mark.parametrize(
    ("given", "classes"), [((), 3), (("ab",), 3), (("ef", "ab"), 6), (("ab", "ae"), 6), (("ba",), 4), (("ac", "bc"), 3)]
)
def test_no_pair_is_chosen_twice(given: tuple[str, ...], classes: int) -> None:
    chosen = ego_study.chosen_pairs(rates_with({"ab": 0.3, "ac": 0.1, "bc": 0.2}, classes), pairs_of(*given))
    assert chosen[: len(given)] == pairs_of(*given)
    assert len({frozenset(pair) for pair in chosen}) == len(chosen) == 3


@pytest.mark.parametrize(
    ("given", "want"),
    [("cd", ("cd", "ab", "gh")), ("ac", ("ac", "eg", "fh")), ("gh", ("gh", "ab", "ef")), ("", ("ab", "cd", "gh"))],
)
def test_a_given_pair_never_pushes_the_most_interfering_one_to_the_end(given: str, want: Sequence[str]) -> None:
    rates = rates_with({"ab": 0.4, "cd": 0.3, "ef": 0.001, "eg": 0.2, "eh": 0.1, "fg": 0.1, "fh": 0.05}, 8)
    *first, last = ego_study.chosen_pairs(rates, pairs_of(given) if given else [])
    assert first == pairs_of(*want)[:2]
    order = ego_study.ordered_pairs(rates)
    assert order.index(last) > order.index(first[1])


# --- many models side by side ---


def test_every_member_is_gathered_at_its_place() -> None:
    members = [Member(a, r, s) for a in ("vgg", "mlp") for r in ("small-lr", "big-lr", "anneal-lr") for s in (5, 1)]
    rows = {m: xr.Dataset({"x": ("k", [i, -i]), "yes": i == 3}, attrs={"at": i}) for i, m in enumerate(members)}
    got = ego_study.gathered(rows)
    assert dict(got.sizes) == {"architecture": 2, "recipe": 3, "seed": 2, "k": 2}
    order = [["vgg", "mlp"], ["small-lr", "big-lr", "anneal-lr"], [5, 1]]
    assert [got[k].values.tolist() for k in Member._fields] == order
    for i, m in enumerate(members):
        at = got.sel(m._asdict())
        assert at.x.values.tolist() == [i, -i]
        assert bool(at.yes) == (i == 3)
    assert got.attrs == {}


def test_missing_members_are_nan() -> None:
    members = [Member("vgg", "big-lr", 1), Member("mlp", "small-lr", 0), Member("mlp", "big-lr", 0)]
    got = ego_study.gathered({m: xr.Dataset({"x": float(i), "cut_off": True}) for i, m in enumerate(members)})
    assert [got[k].values.tolist() for k in Member._fields] == [["vgg", "mlp"], ["big-lr", "small-lr"], [1, 0]]
    assert int(got.x.notnull().sum()) == int(got.cut_off.notnull().sum()) == 3
    for i, m in enumerate(members):
        assert float(got.x.sel(m._asdict())) == i


def test_accuracies_are_those_of_the_last_epoch() -> None:
    def run(train: list[float], test: list[float]) -> SimpleNamespace:
        values = {"train_accuracy": ("epoch", train), "test_accuracy": ("epoch", test), "loss": ("epoch", test)}
        return SimpleNamespace(history=xr.Dataset(values, coords={"epoch": range(len(train))}))

    runs = {Member("mlp", "big-lr", 0): run([0.1, 0.9], [0.2, 0.8]), Member("vgg", "big-lr", 0): run([0.3], [0.4])}
    got = ego_study.accuracies(runs)  # type: ignore[arg-type]
    assert set(got.data_vars) == {"train_accuracy", "test_accuracy"}
    assert got.train_accuracy.squeeze().values.tolist() == [0.9, 0.3]
    assert got.test_accuracy.squeeze().values.tolist() == [0.8, 0.4]
    assert set(got.coords) == set(Member._fields)


# --- their spaces ---


def network(seed: int = 0) -> nn.Module:
    """A model that tells most images, so that moved weights make more mistakes."""
    torch.manual_seed(seed)
    first, last = nn.Linear(5, 6), nn.Linear(6, 4)
    for layer in (first, last):
        layer.weight.data += 2 * torch.eye(*layer.weight.shape)
    return nn.Sequential(first, nn.Tanh(), last).double()


def images() -> Labelled:
    x = torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Labelled(x, x[:, :4].argmax(1), CLASSES)


def moved_of(seed: int = 0) -> Moved:
    model, data = network(seed), images()
    return Moved(model, data, data)


@pytest.fixture(scope="module")
def models() -> dict[Member, Moved]:
    members = [Member("wide", "big-lr", 0), Member("wide", "anneal-lr", 0), Member("deep", "big-lr", 1)]
    return {m: moved_of(i) for i, m in enumerate(members)}


def test_a_pairs_gradients_are_found_by_name() -> None:
    one = moved_of()
    first, second = one.pair(PAIR)
    assert torch.equal(first, one.gradients[2])
    assert torch.equal(second, one.gradients[0])


def test_spaces_of_all_models_and_pairs_share_the_window_of_their_kind(models: dict[Member, Moved]) -> None:
    got = ego_study.spaces(models, [PAIR, OTHER], sigma=SIGMA, points=3, progress=False)
    assert list(got) == list(itertools.product(models, [PAIR, OTHER]))
    for (member, pair), grid in got.items():
        one, reach = models[member], SIGMA[Kind(member.architecture, member.recipe)]
        want = ego.ego_surface(one.model, one.images, *pair, sigma=reach, points=3, progress=False)
        xr.testing.assert_allclose(grid, want, rtol=1e-10)
        assert (grid.attrs["first"], grid.attrs["second"]) == pair
        assert grid.theta1.values.tolist() == [-reach, 0, reach]
    for pair in (PAIR, OTHER):
        picked = ego_study.of_pair(got, pair)
        assert list(picked) == list(models)
        assert all(picked[m] is got[m, pair] for m in models)


def test_radii_lie_at_their_models_and_are_taken_along_the_thetas(models: dict[Member, Moved]) -> None:
    got = ego_study.radii(models, PAIR, angles=4, progress=False)
    assert got.angle.values.tolist() == [0, 90, 180, 270]
    assert np.isnan(got.area_theta.sel(architecture="deep", recipe="anneal-lr", seed=1))
    for member, one in models.items():
        g1, g2 = one.pair(PAIR)
        want = flatness.flat_radii(one.model, one.images, -g1, -g2, angles=4, progress=False)
        at = got.sel(member._asdict())
        for name in ("radius", "walked", "area", "area_theta", "anisotropy", "mistake_rate"):
            np.testing.assert_array_equal(at[name], want[name])
        assert np.isfinite(at.radius).all()
        assert not np.allclose(at.radius, at.radius.roll(angle=2))  # the way back is another


def test_random_radii_are_drawn_by_the_models_seed(models: dict[Member, Moved]) -> None:
    got = ego_study.radii_at_random(models, count=3)
    assert got.dims == (*Member._fields, "direction")
    for member, one in models.items():
        want = flatness.random_radii(one.model, one.images, count=3, seed=3 * member.seed, progress=False)
        np.testing.assert_array_equal(got.sel(member._asdict()), want)
        assert len(np.unique(want)) > 1


def test_a_precision_is_handed_on(models: dict[Member, Moved], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def noting(*_: object, precision: str, **__: object) -> xr.Dataset:
        seen.append(precision)
        return xr.Dataset({"area": 1.0})

    monkeypatch.setattr(ego_study, "flat_radii", noting)
    monkeypatch.setattr(ego_study, "ego_surface", noting)
    ego_study.radii(models, PAIR, angles=4, precision="bf16", progress=False)
    ego_study.spaces(models, [PAIR], sigma=SIGMA, points=1, precision="bf16", progress=False)
    assert seen == ["bf16"] * 6


def test_the_bars_can_be_left_out(
    models: dict[Member, Moved], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BAR, "delay", 0)
    for progress in (True, False):
        ego_study.spaces(models, [PAIR], sigma=SIGMA, points=1, progress=progress)
        ego_study.radii(models, PAIR, angles=3, progress=progress)
        err = capsys.readouterr().err
        assert ("interference spaces" in err, "radii of flatness" in err) == (progress, progress)


def test_a_window_is_four_typical_radii_wide_for_each_architecture_and_recipe() -> None:
    areas = {("wide", "big-lr"): [1.0, 16.0], ("wide", "anneal-lr"): [9.0, np.nan], ("deep", "big-lr"): [5.0, 5.0]}
    members = {Member(*kind, seed): area for kind, of_seed in areas.items() for seed, area in enumerate(of_seed)}
    found = ego_study.gathered({m: xr.Dataset({"area_theta": area, "area": 7.0}) for m, area in members.items()})
    assert ego_study.windows(found) == {
        Kind("wide", "big-lr"): pytest.approx(4 * (4 / np.pi) ** 0.5),
        Kind("wide", "anneal-lr"): pytest.approx(4 * (9 / np.pi) ** 0.5),
        Kind("deep", "big-lr"): pytest.approx(4 * (5 / np.pi) ** 0.5),
    }


def test_only_some_recipes_are_picked(models: dict[Member, Moved]) -> None:
    assert list(ego_study.only(models, ["big-lr"])) == [Member("wide", "big-lr", 0), Member("deep", "big-lr", 1)]
    assert ego_study.only(models, iter(["anneal-lr", "big-lr"])) == models
    assert ego_study.only(models, []) == {}


def grid_of(losses: dict[str, np.ndarray], first: str, second: str) -> xr.Dataset:
    values = np.stack(list(losses.values()), -1)
    axis = np.linspace(-1, 1, len(values))
    coords = {"theta1": axis, "theta2": axis, "class": list(losses)}
    data = {"class_loss": (("theta1", "theta2", "class"), values)}
    return xr.Dataset(data, coords, {"first": first, "second": second})


def drawn_losses(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random((3, 3)) for name in CLASSES}


def test_rises_lie_at_their_models_and_classes() -> None:
    members = [Member("wide", "anneal-lr", 1), Member("wide", "anneal-lr", 0), Member("deep", "anneal-lr", 0)]
    losses = {m: drawn_losses(i) for i, m in enumerate(members)}
    got = ego_study.rises({m: grid_of(x, *PAIR) for m, x in losses.items()})
    assert got["class"].values.tolist() == list(CLASSES)
    for m, name in itertools.product(members, CLASSES):
        want = np.median(losses[m][name]) - losses[m][name][1, 1]
        assert float(got.sel({**m._asdict(), "class": name})) == pytest.approx(want)


def test_similarity_is_averaged_over_the_spaces_of_other_classes() -> None:
    losses = [drawn_losses(i) for i in range(3)]
    grids = [grid_of(losses[0], *PAIR), grid_of(losses[1], "bird", "cat"), grid_of(losses[2], *PAIR)]
    got = ego_study.mean_similarity(grids)
    each = [flatness.surface_similarity(grid) for grid in grids]
    at = {"class": "bird", "other": "dog"}  # in neither class of PAIR, but of the other space
    assert float(got.sel(at)) == pytest.approx((float(each[0].sel(at)) + float(each[2].sel(at))) / 2)
    at = {"class": "ship", "other": "dog"}
    assert float(got.sel(at)) == pytest.approx(float(each[1].sel(at)))
    assert np.isnan(got.sel({"class": "cat"})).all()
    assert np.isnan(float(got.sel({"class": "bird", "other": "ship"})))


def test_spaces_are_picked_by_seed_and_arranged_by_recipe_and_pair() -> None:
    members = [Member(a, r, s) for a, r, s in itertools.product(("wide", "deep"), ("big-lr", "anneal-lr"), (2, 0))]
    grids = {(m, pair): xr.Dataset() for m, pair in itertools.product(members, (PAIR, OTHER))}
    of_seed = ego_study.of_seed(ego_study.of_pair(grids, OTHER), 0)
    assert list(of_seed) == members[1::2]
    assert all(grid is grids[m, OTHER] for m, grid in of_seed.items())
    rows = ego_study.by_recipe(grids, "deep")
    assert list(rows) == ["big-lr", "anneal-lr"]
    for recipe, row in rows.items():  # of the seed that comes first
        assert list(row) == ["ship-cat", "bird-dog"]
        assert row["ship-cat"] is grids[Member("deep", recipe, 2), PAIR]
        assert row["bird-dog"] is grids[Member("deep", recipe, 2), OTHER]


def test_numbers_of_all_spaces_can_be_saved(models: dict[Member, Moved], tmp_path: Path) -> None:
    got = ego_study.spaces(models, [PAIR, OTHER], sigma=SIGMA, points=3, progress=False)
    ego_study.numbers(got).to_netcdf(tmp_path / "numbers.nc", engine="netcdf4")
    with xr.open_dataset(tmp_path / "numbers.nc", engine="netcdf4") as kept:
        assert kept.sizes["space"] == 6
        for i, ((member, pair), grid) in enumerate(got.items()):
            one = kept.isel(space=i)
            assert str(one.space.values) == f"{'-'.join(pair)}, {member.architecture}, {member.recipe}, {member.seed}"
            for name in ("mistake_rate", "loss"):
                np.testing.assert_array_equal(one[name], grid[name])
            for name in ("theta1", "theta2"):
                np.testing.assert_array_equal(one[name], grid[name])


# --- proposition 1 ---


def test_proposition_one_holds_to_rounding() -> None:
    one = moved_of()
    assert ego_study.proposition_error(one, PAIR) < 1e-14
    single = Moved(network().float(), one.train, one.images)
    assert ego_study.proposition_error(single, PAIR) < 1e-14  # in float64 whatever the model's type


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ego_weights", lambda w, g, alpha: w + alpha * g),
        ("ego_weights", lambda w, g, alpha: w - alpha / 2 * g),
        ("interference_weights", lambda w, g1, g2, t1, t2: w - t1 * g1),
        ("interference_weights", lambda w, g1, g2, t1, t2: w - (t2 * g1 + t1 * g2)),
    ],
)
def test_a_wrong_combination_is_no_rounding(name: str, wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ego_study, name, wrong)
    assert ego_study.proposition_error(moved_of(), PAIR) > 1e-3


def test_the_worst_draw_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    thetas: list[tuple[float, float]] = []

    def noting(w: Tensor, g1: Tensor, g2: Tensor, t1: float, t2: float) -> Tensor:
        thetas.append((t1, t2))
        return ego.interference_weights(w, g1, g2, t1, t2) + (w if len(thetas) == 3 else 0)

    monkeypatch.setattr(ego_study, "interference_weights", noting)
    assert ego_study.proposition_error(moved_of(), PAIR, draws=5, seed=4) == pytest.approx(1)
    assert len(set(thetas)) == 5
    assert np.abs(thetas).max() <= 1
    assert np.abs(thetas).min() > 0


# --- with a real training ---


def test_a_trained_model_is_moved_along_its_own_gradients(small_npz: Path) -> None:
    spec = lu.RunSpec(dataset=str(small_npz), model="mlp", epochs=1)
    data = lu.load_dataset(str(small_npz))
    runs = ego_study.members({"mlp": [lu.train(spec, data=data, progress=False)]})
    assert list(runs) == [Member("mlp", "anneal-lr", 0)]
    (run,) = runs.values()
    one = ego_study.moved(run, data.train, images=9)
    assert torch.bincount(one.images.targets).tolist() == [3, 3, 3]
    assert one.images.classes == data.classes
    assert {one.images.inputs.device, one.gradients.device} == {next(one.model.parameters()).device}
    for name, value in run.weights("final").items():
        assert torch.equal(one.model.state_dict()[name].cpu(), value)
    whole = class_gradients(run.model(), data.train)  # of the 60 training images, not of 9
    torch.testing.assert_close(one.gradients.cpu(), whole, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(whole, class_gradients(run.model(), data.train.stratified(9)), rtol=1e-2)
    assert len(ego_study.moved(run, data.train).images.targets) == 60
    got = ego_study.accuracies(runs).squeeze()
    assert float(got.train_accuracy) == pytest.approx(lu.outcomes(run.model(), data.train).accuracy)
    assert float(got.test_accuracy) == pytest.approx(lu.outcomes(run.model(), data.test).accuracy)
