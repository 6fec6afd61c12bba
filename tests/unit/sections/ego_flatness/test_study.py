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
from landscape_utils.engine import space
from landscape_utils.engine.class_gradients import class_gradients
from landscape_utils.interference import ego, flatness
from landscape_utils.sections.ego_flatness import study as ego_study
from landscape_utils.sections.ego_flatness.study import Member, Moved
from tests.unit.interference.test_cctm import rates_of

CLASSES = ("cat", "bird", "ship", "dog")
PAIR, OTHER = ("ship", "cat"), ("bird", "dog")


def rates_with(errors: dict[str, float], classes: int) -> xr.DataArray:
    """A CCTM over classes a, b, ... whose pairs, as "ab", have these rates in both directions together."""
    matrix = np.zeros((classes, classes))
    for (a, b), rate in errors.items():
        matrix["abcdefgh".index(a), "abcdefgh".index(b)] += 0.75 * rate
        matrix["abcdefgh".index(b), "abcdefgh".index(a)] += 0.25 * rate
    return rates_of(matrix + np.diag(1 - matrix.sum(1)))


def pairs_of(*texts: str) -> list[tuple[str, str]]:
    return [(a, b) for a, b in texts]


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


@pytest.mark.parametrize("besides", [("ab", "cd"), ("ba", "dc"), ()])
def test_a_random_pair_is_none_of_the_chosen(besides: tuple[str, ...]) -> None:
    rates = rates_with({"ab": 0.4, "cd": 0.3, "ac": 0.1}, 4)
    drawn = [ego_study.random_pair(rates, pairs_of(*besides), seed=seed) for seed in range(40)]
    left = {p for p in itertools.combinations("abcd", 2) if not besides or p not in pairs_of("ab", "cd")}
    assert set(drawn) == left
    assert drawn == [ego_study.random_pair(rates, pairs_of(*besides), seed=seed) for seed in range(40)]
    assert drawn[0] == ego_study.random_pair(rates, pairs_of(*besides))


def test_where_no_pair_is_left_the_last_chosen_is_drawn() -> None:
    rates = rates_with({"ab": 0.4}, 3)
    assert ego_study.random_pair(rates, pairs_of("ab", "cb", "ac")) == ("a", "c")


def test_pairs_are_read_by_long_and_short_names() -> None:
    names = ("airplane", "automobile", "cat")
    assert ego_study.named_pairs(names, ["cat-car", "plane-cat"]) == [("cat", "automobile"), ("airplane", "cat")]
    assert ego_study.named_pairs(names, None) == []
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


# --- many models side by side ---


def test_every_member_is_gathered_at_its_place() -> None:
    members = [Member(a, r, s) for a in ("vgg", "mlp") for r in ("small-lr", "big-lr", "anneal-lr") for s in (5, 1)]
    rows = {m: xr.Dataset({"x": ("k", [i, -i]), "yes": i == 3}, attrs={"at": i}) for i, m in enumerate(members)}
    got = ego_study.gathered(rows)
    assert dict(got.sizes) == {"architecture": 2, "recipe": 3, "seed": 2, "k": 2}
    assert [got[k].values.tolist() for k in Member._fields] == [
        ["vgg", "mlp"],
        ["small-lr", "big-lr", "anneal-lr"],
        [5, 1],
    ]
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


def test_a_single_member_is_gathered_too() -> None:
    got = ego_study.gathered({Member("mlp", "big-lr", 3): xr.Dataset({"x": 2.0})})
    assert float(got.x.sel(architecture="mlp", recipe="big-lr", seed=3)) == 2.0
    assert got.x.shape == (1, 1, 1)


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
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)).double()


def images() -> Labelled:
    x = torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Labelled(x, x[:, :4].argmax(1), CLASSES)


def moved_of(seed: int = 0) -> Moved:
    model, data = network(seed), images()
    return Moved(model, class_gradients(model, data), data)


@pytest.fixture(scope="module")
def models() -> dict[Member, Moved]:
    members = [Member("wide", "big-lr", 0), Member("wide", "anneal-lr", 0), Member("deep", "big-lr", 1)]
    return {m: moved_of(i) for i, m in enumerate(members)}


def test_a_pairs_gradients_are_found_by_name() -> None:
    one = moved_of()
    first, second = one.pair(PAIR)
    assert torch.equal(first, one.gradients[2])
    assert torch.equal(second, one.gradients[0])


def test_random_pairs_are_as_long_as_the_gradients_and_along_none() -> None:
    one = moved_of()
    drawn = one.random_pair(PAIR)
    for d, g in zip(drawn, one.pair(PAIR), strict=True):
        assert float(d.norm()) == pytest.approx(float(g.norm()), rel=1e-10)
        assert abs(float(torch.cosine_similarity(d, g, 0))) < 0.6
    assert abs(float(torch.cosine_similarity(*drawn, 0))) < 0.6
    assert torch.equal(drawn[0], one.random_pair(PAIR)[0])
    assert not torch.equal(drawn[0], one.random_pair(PAIR, seed=10)[0])


def test_spaces_of_all_models_and_pairs_share_their_architectures_window(models: dict[Member, Moved]) -> None:
    sigma = {"wide": 0.5, "deep": 2.0}
    got = ego_study.spaces(models, [PAIR, OTHER], sigma=sigma, points=3, progress=False)
    assert list(got) == list(itertools.product(models, [PAIR, OTHER]))
    for (member, pair), grid in got.items():
        one, reach = models[member], sigma[member.architecture]
        want = ego.ego_surface(one.model, one.images, *pair, sigma=reach, points=3, progress=False)
        xr.testing.assert_allclose(grid, want, rtol=1e-10)
        assert (grid.attrs["first"], grid.attrs["second"]) == pair
        assert grid.theta1.values.tolist() == [-reach, 0, reach]
        for axis, g in zip((1, 2), one.pair(pair), strict=True):
            assert grid.attrs[f"norm_{axis}"] == pytest.approx(float(g.norm()))
    for pair in (PAIR, OTHER):
        picked = ego_study.of_pair(got, pair)
        assert list(picked) == list(models)
        assert all(picked[m] is got[m, pair] for m in models)


def test_walked_spaces_take_theta_as_a_share_of_the_weights(models: dict[Member, Moved]) -> None:
    sigma = {"wide": 0.1, "deep": 0.2}
    how = {"points": 3, "progress": False}
    for (member, pair), grid in ego_study.spaces(models, [PAIR], sigma=sigma, scale="walked", **how).items():
        one, reach = models[member], sigma[member.architecture]
        whole = ego.ego_surface(one.model, one.images, *pair, sigma=reach, normalisation="global", **how)
        xr.testing.assert_allclose(grid, whole, rtol=1e-10)
        for axis in (1, 2):
            assert grid.attrs[f"norm_{axis}"] == pytest.approx(float(space.flatten(one.model).norm()))
            np.testing.assert_allclose(grid[f"walked{axis}"], [-reach, 0, reach])


def test_random_spaces_are_a_control_of_the_same_norms(models: dict[Member, Moved]) -> None:
    how = {"sigma": {"wide": 1.0, "deep": 1.0}, "points": 3, "progress": False}
    real = ego_study.spaces(models, [PAIR], **how)
    for (member, pair), grid in ego_study.spaces(models, [PAIR], directions="random", **how).items():
        one = models[member]
        given = one.random_pair(PAIR)
        want = ego.ego_surface(one.model, one.images, *pair, sigma=1.0, points=3, gradients=given, progress=False)
        xr.testing.assert_allclose(grid, want, rtol=1e-10)
        assert [grid.attrs[f"norm_{i}"] for i in (1, 2)] == pytest.approx([float(g.norm()) for g in one.pair(PAIR)])
        assert not np.allclose(grid.loss, real[member, pair].loss)


def test_the_bar_can_be_left_out(models: dict[Member, Moved], capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (True, False):
        ego_study.spaces(models, [PAIR], sigma={"wide": 1.0, "deep": 1.0}, points=1, progress=progress)
        assert ("interference spaces" in capsys.readouterr().err) == progress


def test_areas_lie_at_their_models(models: dict[Member, Moved]) -> None:
    sigma = {"wide": 20.0, "deep": 3.0}
    grids = ego_study.of_pair(ego_study.spaces(models, [PAIR], sigma=sigma, points=5, progress=False), PAIR)
    got = ego_study.areas(grids)
    for member, grid in grids.items():
        xr.testing.assert_equal(
            got.sel(member._asdict(), drop=True).astype(float), flatness.flat_area(grid).astype(float)
        )
    assert np.isnan(float(got.theta.sel(architecture="deep", recipe="anneal-lr", seed=1)))
    assert len(np.unique(got.theta.values[~np.isnan(got.theta.values)])) == 3


def test_windows_look_at_one_recipe_of_each_architecture(models: dict[Member, Moved]) -> None:
    ratios = {
        m: [float(space.flatten(one.model).norm() / g.norm()) for g in one.pair(PAIR)] for m, one in models.items()
    }
    got = ego_study.windows(models, PAIR, 0.3)
    for architecture in ("wide", "deep"):
        ((a, b),) = (r for m, r in ratios.items() if m.architecture == architecture and m.recipe == "big-lr")
        assert got[architecture] == pytest.approx(0.3 * (a * b) ** 0.5)
    wide = {m: one for m, one in models.items() if m.architecture == "wide"}
    a, b = ratios[Member("wide", "anneal-lr", 0)]
    assert ego_study.windows(wide, PAIR, 0.3, "anneal-lr") == pytest.approx({"wide": 0.3 * (a * b) ** 0.5})


def test_only_some_recipes_are_picked(models: dict[Member, Moved]) -> None:
    assert list(ego_study.only(models, ["big-lr"])) == [Member("wide", "big-lr", 0), Member("deep", "big-lr", 1)]
    assert ego_study.only(models, iter(["anneal-lr", "big-lr"])) == models
    assert ego_study.only(models, []) == {}


def grid_of(losses: dict[str, np.ndarray], first: str, second: str) -> xr.Dataset:
    values = np.stack(list(losses.values()), -1)
    axis = np.linspace(-1, 1, len(values))
    coords = {"theta1": axis, "theta2": axis, "class": list(losses)}
    return xr.Dataset(
        {"class_loss": (("theta1", "theta2", "class"), values)}, coords, {"first": first, "second": second}
    )


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


def test_cuts_are_gathered_by_model_and_angle(models: dict[Member, Moved]) -> None:
    chosen, angles = ego_study.only(models, ["big-lr"]), [0, 90, 135]
    plane, other = ego_study.cut_sharpness(chosen, PAIR, angles, reach=0.8, random=2)
    assert plane.dims == ("architecture", "seed", "angle")
    assert other.dims == ("architecture", "seed", "cut")
    assert plane.angle.values.tolist() == angles
    for m, one in chosen.items():
        at = {"architecture": m.architecture, "seed": m.seed}
        how = {"reach": 0.8, "points": 7, "progress": False}
        within = flatness.sharpness(flatness.cuts(one.model, one.images, *one.pair(PAIR), angles, **how))
        anywhere = flatness.sharpness(flatness.random_cuts(one.model, one.images, count=2, seed=m.seed, **how))
        np.testing.assert_allclose(plane.sel(at), within, atol=1e-12)
        np.testing.assert_allclose(other.sel(at), anywhere, atol=1e-12)
    assert np.nanstd(plane.values) > 0


def test_the_first_seeds_are_arranged_by_architecture_and_recipe() -> None:
    members = [Member("wide", "big-lr", 2), Member("wide", "big-lr", 0), Member("wide", "anneal-lr", 0)]
    grids = {m: xr.Dataset(attrs={"at": i}) for i, m in enumerate([*members, Member("deep", "big-lr", 5)])}
    got = ego_study.first_seeds(grids)
    assert {a: {r: g.attrs["at"] for r, g in row.items()} for a, row in got.items()} == {
        "wide": {"big-lr": 0, "anneal-lr": 2},
        "deep": {"big-lr": 3},
    }
    columns = ego_study.by_column({"most": grids, "again": grids}, "big-lr")
    assert {a: {n: g.attrs["at"] for n, g in row.items()} for a, row in columns.items()} == {
        "wide": {"most": 0, "again": 0},
        "deep": {"most": 3, "again": 3},
    }


def test_numbers_of_all_spaces_can_be_saved(models: dict[Member, Moved], tmp_path: Path) -> None:
    got = ego_study.spaces(models, [PAIR, OTHER], sigma={"wide": 0.5, "deep": 2.0}, points=3, progress=False)
    ego_study.numbers(got).to_netcdf(tmp_path / "numbers.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "numbers.nc", engine="h5netcdf") as kept:
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
    single = Moved(network().float(), one.gradients.float(), one.images)
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
    runs = ego_study.train_all({"mlp": [spec]}, data)
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


@pytest.mark.parametrize(
    ("given", "want"),
    [("cd", ("cd", "ab", "gh")), ("ac", ("ac", "eg", "fh")), ("gh", ("gh", "ab", "ef")), ("", ("ab", "cd", "gh"))],
)
def test_a_given_pair_never_pushes_the_most_interfering_one_to_the_end(given: str, want: Sequence[str]) -> None:
    rates = rates_with({"ab": 0.4, "cd": 0.3, "ef": 0.001, "eg": 0.2, "eh": 0.1, "fg": 0.1, "fh": 0.05}, 8)
    assert ego_study.chosen_pairs(rates, pairs_of(given) if given else [])[:2] == pairs_of(*want)[:2]
    last = ego_study.chosen_pairs(rates, pairs_of(given) if given else [])[2]
    order = ego_study.ordered_pairs(rates)
    assert order.index(last) > order.index(pairs_of(want[1])[0])


def test_a_class_is_no_pair_with_itself() -> None:
    assert ego_study.named_pairs(CLASSES, ["ship-cat"]) == [PAIR]
    with pytest.raises(ValueError, match="name two different classes"):
        ego_study.named_pairs(CLASSES, ["cat-cat"])
