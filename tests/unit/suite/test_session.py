from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import xarray as xr

from landscape_utils.data.datasets import Dataset
from landscape_utils.suite import claims, profiles, session
from landscape_utils.training.models import model_names
from tests.unit.judgements import of_one_part


@pytest.mark.parametrize(("notebook", "profile"), [(n, p) for n in profiles.names() for p in profiles.profiles(n)])
def test_every_profile_of_every_notebook_settles(notebook: str, profile: str) -> None:
    setup = session.session(notebook, profile=profile)
    assert setup.specs().keys() <= set(model_names())


def test_the_paper_profile_is_the_papers() -> None:
    setup = session.session("01_cctm", profile="paper")
    (spec,) = setup.specs()["vgg19"]
    recipe = spec.settled()
    assert (setup.dataset, recipe.epochs, recipe.lr, recipe.schedule, recipe.augment) == (
        "cifar10",
        200,
        0.1,
        "cosine",
        True,
    )
    assert list(setup.specs()) == ["vgg19", "resnet18", "googlenet", "dla"]


@pytest.mark.parametrize("notebook", ["04_gmi_mli_wpeak", "09_hessian_surfaces"])
def test_networks_from_a_library_are_fine_tuned_on_birds(notebook: str) -> None:
    setup = session.session(notebook, profile="paper-finetuned")
    assert setup.dataset == "cub200"
    for name in ("mobilenet_v2", "resnext101"):
        first, *_ = setup.specs()[name]
        assert first.settled().pretrained
        assert first.settled().epochs == 200
    with pytest.raises(ValueError, match="needs a published dataset"):
        session.session(notebook, profile="paper-finetuned", dataset="glyphs10")


@pytest.mark.parametrize(("own", "message"), [({"at_epochs": [-1]}, "count from 0"), ({"chunk": 0}, "chunk is 0")])
def test_epochs_and_chunks_of_examples_are_checked(own: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        session.session("10_gradient_split", **own)


@pytest.mark.parametrize("depths", [[4], [1, 4], [8, 4]])
def test_depths_go_from_the_shallowest_on(depths: list[int]) -> None:
    with pytest.raises(ValueError, match="the shallowest first"):
        session.session("05_bias_plateau", depths=depths)


@pytest.mark.parametrize("widths", [[4], [0, 4], [8, 4], [4, 4]])
def test_widths_go_from_the_narrowest_on(widths: list[int]) -> None:
    with pytest.raises(ValueError, match="the narrowest first"):
        session.session("08_double_descent", widths=widths)
    with pytest.raises(ValueError, match=r"noises is .*in \[0, 1\]"):
        session.session("08_double_descent", noises=[0.1, 1.1])


def test_every_notebook_has_the_three_profiles() -> None:
    assert all({"quick", "standard", "paper"} <= set(profiles.profiles(name)) for name in profiles.names())


def test_what_is_given_goes_before_the_profile_and_none_does_not() -> None:
    setup = session.session("01_cctm", epochs=2, dataset=None, seeds=[3, 4])
    assert (setup.epochs, setup.dataset) == (2, "glyphs10")
    assert [spec.seed for spec in setup.specs()["mlp"]] == [3, 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"profile": "quik"}, "unknown profile 'quik'; the nearest valid names are: quick"),
        ({"dataset": "cifar01"}, "unknown dataset 'cifar01'"),
        ({"architectures": ["resnet9"]}, "unknown model 'resnet9'"),
        ({"recipe": "anneal"}, "unknown recipe 'anneal'"),
        ({"seeds": []}, "give one at least"),
        ({"seeds": [-1]}, "seed is -1"),
        ({"architectures": ["mlp", "mlp"]}, "each once"),
        ({"threshold": 2.0}, "rates lie in"),
        ({"formats": ["jpg"]}, "choose from png, svg, pdf"),
        ({"profile": "paper", "dataset": "glyphs10"}, "needs a published dataset"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        session.session("01_cctm", **given)
    with pytest.raises(ValueError, match="unknown notebook"):
        session.session("01_cctn")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        session.session("01_cctm", dataset="none/such.npz")


def test_a_recipe_of_ones_own_keeps_its_own_learning_rate() -> None:
    own = session.session("01_cctm").specs()
    assert [own[name][0].settled().lr for name in ("resnet8", "vgg11")] == [0.1, 0.05]
    other = session.session("01_cctm", recipe="small-lr").specs()
    assert [other[name][0].settled().lr for name in ("resnet8", "vgg11")] == [1e-4, 1e-4]
    assert other["vgg11"][0].model_options == {"width": 0.125}
    assert {s[0].settled().lr for s in session.session("01_cctm", lr=0.3).specs().values()} == {0.3}


def test_recipes_seeds_and_single_recipes_rates_make_the_runs() -> None:
    specs = session.session("02_ego_flatness").specs()["resnet8"]
    assert [(s.recipe, s.seed) for s in specs] == [
        (r, i) for r in ("small-lr", "big-lr", "anneal-lr") for i in range(3)
    ]
    assert [s.settled().lr for s in specs[::3]] == [0.01, 0.03, 0.1]
    assert {s.model_options["width"] for s in specs} == {0.5}


def test_what_is_trained_stands_by_architecture(small: Dataset) -> None:
    setup = session.session("01_cctm", architectures=["mlp", "resnet8"], epochs=1, seeds=[3, 5])
    runs = setup.train(small)
    assert list(runs) == ["mlp", "resnet8"]
    assert {name: [run.spec for run in several] for name, several in runs.items()} == setup.specs()


def test_given_epochs_go_before_those_of_single_architectures() -> None:
    assert session.session("02_ego_flatness").specs()["vgg11"][0].epochs == 8
    assert session.session("02_ego_flatness").specs()["resnet8"][0].epochs == 14  # of one recipe
    given = session.session("02_ego_flatness", epochs=3).specs()
    assert {spec.epochs for specs in given.values() for spec in specs} == {3}


def test_given_epochs_leave_the_profiles_later_checkpoints_out() -> None:
    assert session.session("06_mftma", epochs=5).checkpoints == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="checkpoint 9 lies outside"):
        session.session("06_mftma", epochs=5, checkpoints=[9])


def test_other_data_leave_the_profiles_difficulty_behind() -> None:
    assert session.session("02_ego_flatness").difficulty == 0.6
    assert session.session("02_ego_flatness", dataset="digits").difficulty is None
    assert session.session("02_ego_flatness", dataset="glyphs100", difficulty=0.3).difficulty == 0.3


def test_other_data_are_taken_whole_where_the_sizes_belong_to_the_profiles_own() -> None:
    own, other = (session.session("06_mftma", dataset=name) for name in ("glyphs10", "spheres"))
    assert (own.train_size, own.test_size) == (2000, 1000)
    assert (other.train_size, other.test_size, other.difficulty) == (None, None, None)
    assert session.session("06_mftma", dataset="spheres", test_size=7).test_size == 7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"points": 8}, "points is 8; it must be odd"),
        ({"class_points": 1}, "at least 3"),
        ({"sigma": 0.0}, "sigma is 0.0; it must be above 0"),
        ({"images": 0}, "images is 0"),
        ({"pairs": ["cat"]}, "write each pair as first-second"),
        ({"threshold": 0.1, "point": 9}, "unknown parameter of 02_ego_flatness 'point'.*points"),
    ],
)
def test_a_notebooks_own_numbers_are_checked_before_anything_runs(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        session.session("02_ego_flatness", **given)
    assert session.session("02_ego_flatness", points=5).own["points"] == 5


def test_the_paper_profile_refuses_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_npz: Path) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    small_npz.rename(tmp_path / "cifar10.npz")
    with pytest.raises(ValueError, match="accept_part=True"):
        session.session("01_cctm", profile="paper").load_data()
    assert session.session("01_cctm", profile="paper", accept_part=True).load_data().train.size == 60


def test_folders_follow_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert session.figures_folder() == home / "out" / "figures"
    monkeypatch.setenv("LANDSCAPE_OUT", "/somewhere")
    assert session.figures_folder() == Path("/somewhere/figures")


def cell(**changed: object) -> dict[str, object]:
    """Give what stands among a notebook's names after its parameters cell, and beside it."""
    unset = dict.fromkeys(("dataset", "architectures", "recipe", "epochs", "lr", "seeds", "train_size", "test_size"))
    fixed = {"profile": "quick", "threshold": 0.005, "accept_part": False, "formats": ["png"], "image_size": None}
    return {**unset, **fixed, "np": pytest, "data": object(), **changed}


def test_a_notebook_settles_with_its_own_names() -> None:
    settled = session.settle("01_cctm", cell(epochs=2, seeds=[3, 4], threshold=0.01))
    assert (settled.epochs, list(settled.seeds), settled.threshold, settled.dataset) == (2, [3, 4], 0.01, "glyphs10")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": "2"}, r"parameter epochs is '2'; it must be int\|None"),
        ({"seeds": 3}, r"parameter seeds is 3; it must be list\[int\]\|None"),
        ({"profile": "quik"}, "unknown profile 'quik'"),
    ],
)
def test_a_parameter_of_another_type_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        session.settle("01_cctm", cell(**changed))


def test_a_session_shows_judges_and_concludes(home: Path, small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("landscape_utils.suite.plots.display_markdown", shown.append)
    seen: list[tuple[bytes, str]] = []
    monkeypatch.setattr("landscape_utils.suite.plots.display_png", lambda *picture: seen.append(picture))
    setup = session.session("01_cctm", epochs=2)
    numbers = xr.Dataset({"height": ("place", [1.0, 2.0])})
    for name, drawn in (("figure", plt.subplots()[0]), ("axes", plt.subplots()[1])):
        setup.show(drawn, name, numbers, note="two bars")
        assert drawn.figure.get_supxlabel() == "two bars"
        assert seen.pop() == (
            (home / "out" / "figures" / f"01_cctm-{name}.png").read_bytes(),
            f"01_cctm-{name}. two bars",
        )
        assert not plt.fignum_exists(drawn.figure.number)
        xr.testing.assert_equal(xr.load_dataset(home / "out" / f"01_cctm-{name}.nc", engine="netcdf4"), numbers)
    setup.judge(of_one_part("CI-1", measured="13 %"))
    assert "| **CI-1**: look-alike classes lead the interference |  | 13 % | c | **seen** |" in shown[0]
    setup.conclude(small)
    (rows, about) = claims.load(home / "out" / "01_cctm.claims.json")
    assert ([row.id for row in rows], about["epochs"]) == (["CI-1"], 2)
    assert "| CI-1 The largest" in shown[1]
