"""The command runs the notebooks, as a user types it; real data where they are."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import xarray as xr

from tests import ROOT
from tests.conftest import REAL, needs_cifar10, needs_mnist

FAST = ("-p", "architectures=mlp,vgg11", "-p", "epochs=2", "-p", "train_size=600", "-p", "test_size=300")


def landscape(*words: object, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "landscape_utils.run.cli", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


def verdicts(out: Path, notebook: str = "01_cctm") -> dict[str, str]:
    content = json.loads((out / f"{notebook}.claims.json").read_text())
    return {claim["id"]: claim["verdict"] for claim in content["claims"]}


def seen_parts(out: Path, notebook: str) -> set[str]:
    content = json.loads((out / f"{notebook}.claims.json").read_text())
    every = [(claim["id"], part) for claim in content["claims"] for part in claim["parts"]]
    return {f"{claim} {part['name']}".strip() for claim, part in every if part["verdict"] in ("seen", "exact")}


def test_fast_parameters_give_pictures_numbers_and_claims(tmp_path: Path, notebook_environment: dict[str, str]) -> None:
    out, figures = tmp_path / "out", tmp_path / "pictures"
    words = ("run", "01_cctm", *FAST, "-p", "formats=png,svg", "--out", out, "--figures", figures)
    result = landscape(*words, environment=notebook_environment)
    assert result.returncode == 0, result.stderr
    names = {"heatmaps", "symmetry", "error-shares", "recalls", "interferers"}
    assert {p.name for p in figures.iterdir()} == {f"01_cctm-{n}.{e}" for n in names for e in ("png", "svg")}
    assert {p.name for p in out.glob("*.nc")} == {f"01_cctm-{n}.nc" for n in names}
    with xr.open_dataset(out / "01_cctm-heatmaps.nc", engine="netcdf4") as numbers:
        assert numbers.cctm.sizes == {"model": 2, "true": 10, "predicted": 10}
        assert float(abs(numbers.cctm.sum("predicted") - 1).max()) < 1e-9
    assert set(verdicts(out)) == {f"CI-{i}" for i in range(1, 6)}
    executed = nbformat.read(out / "01_cctm.ipynb", as_version=4)
    assert not [o for c in executed.cells for o in c.get("outputs", []) if o.output_type == "error"]
    for place in (out / "01_cctm.ipynb", figures, out / "01_cctm.claims.json"):
        assert str(place) in result.stdout


SMALLEST = tuple(
    word for value in ("seeds=0", "images=100", "angles=4", "points=5", "class_points=3") for word in ("-p", value)
)
LEAST = tuple(
    word
    for value in ("checkpoints=1", "images=50", "draws=1", "scales=0.5,1", "eigenvectors=2")
    for word in ("-p", value)
)
FLAT = tuple(
    word
    for value in ("seeds=0", "simple_seeds=1", "simple_size=300", "images=30", "depths=2,3")
    for word in ("-p", value)
)
SPECTRAL = (*LEAST[:4], "-p", "eigenvectors=2", "-p", "points=7", "-p", "fine_points=5")
PARTS = {
    "02_ego_flatness": (
        ("-p", "architectures=mlp", "-p", "epochs=2", "-p", "train_size=300", "-p", "test_size=200", *SMALLEST),
        {"accuracies", "areas", "radii", "recipes", "class-losses", "similarity", "rises"},
        {*(f"CI-{i}" for i in (6, 7, 8, 9, 10, 11, 12, 13, 19)), "CI-7d"},
    ),
    "03_label_dancing": (
        FAST,
        {"dance", "pair-correlations", "cell-correlations", "notes", "partners"},
        {f"CI-{i}" for i in range(14, 19)},
    ),
    "04_gmi_mli_wpeak": (
        ("-p", "architectures=mlp", *FAST[2:], *LEAST),
        {
            "gaussian",
            "scales",
            "angles",
            "best-gaussian",
            "v-sides",
            "w-basins",
            "eigenvectors",
            "w-peaks",
            "overlaps",
            "vvv-basins",
        },
        {*(f"ML-{i}" for i in (*range(1, 10), 15, 16, 17)), "ML-8d"},
    ),
    "05_bias_plateau": (
        ("-p", "architectures=fcn,vgg11", *FAST[2:], *FLAT),
        {"two-curves", "prediction", "biases", "scale-and-depth", "course", "bias-by-order", "order", "hardness"},
        {f"BP-{i}" for i in range(1, 9)},
    ),
    "08_double_descent": (
        ("-p", "widths=2,4,8,16", "-p", "epochs=60", "-p", "seeds=0,1", "-p", "n_t=10"),
        {"errors", "time-and-width", "dimension", "geometry"},
        {"MG-9"},
    ),
    "07_rewinding": (
        (*FAST[2:], "-p", "seeds=0,1", "-p", "images=60", "-p", "test_images=60", "-p", "checkpoints=1"),
        {"course", "gains", "last-layers", "settling", "batchnorm"},
        {"MG-7", "MG-8"},
    ),
    "09_hessian_surfaces": (
        ("-p", "architectures=mlp", *FAST[2:], *SPECTRAL),
        {"spectra", "noise", "pieces", "eigenvectors", "mixed"},
        {f"ML-{i}" for i in (10, 11, 12, 13, 14, 18)},
    ),
    "10_gradient_split": (
        ("-p", "architectures=mlp", *FAST[2:], "-p", "seeds=0", "-p", "images=400", "-p", "scaling_size=600"),
        {"norms-mlp", "ratios-mlp", "shares-mlp", "scaling-mlp"},
        {"MG-10", "MG-11", "MG-12"},
    ),
}


# Where real images are, these notebooks run on them; and a part that holds however little is trained.
ON_REAL = {
    "02_ego_flatness": (("-p", "dataset=cifar10", "-p", "pairs=cat-dog"), "CI-13 error"),
    "04_gmi_mli_wpeak": (("-p", "dataset=cifar10"), "ML-4 mean"),
    "05_bias_plateau": (("-p", "dataset=cifar10", "-p", "simple=mnist"), "BP-8 steps"),
    "09_hessian_surfaces": (("-p", "dataset=cifar10"), "ML-14 mli"),
}


@pytest.mark.parametrize("name", PARTS)
def test_the_other_notebooks_run_with_fast_parameters(
    name: str, tmp_path: Path, notebook_environment: dict[str, str]
) -> None:
    words, pictures, claims = PARTS[name]
    figures, environment, certain = tmp_path / "pictures", notebook_environment, None
    if name in ON_REAL and REAL is not None and (REAL / "cifar10.npz").exists():
        given, certain = ON_REAL[name]
        words, environment = (*words, *given), {**notebook_environment, "LANDSCAPE_DATA": str(REAL)}
    result = landscape("run", name, *words, "--out", tmp_path, "--figures", figures, environment=environment)
    assert result.returncode == 0, result.stderr
    assert certain is None or certain in seen_parts(tmp_path, name)
    assert {p.name for p in figures.iterdir()} == {f"{name}-{picture}.png" for picture in pictures}
    assert set(verdicts(tmp_path, name)) == claims
    assert {p.name for p in tmp_path.glob("*.nc")} == {f"{name}-{picture}.nc" for picture in pictures}


def test_a_parameter_that_would_fail_late_is_refused_at_once(notebook_environment: dict[str, str]) -> None:
    result = landscape("run", "02_ego_flatness", "-p", "points=8", environment=notebook_environment)
    assert result.returncode == 2
    assert "points is 8; it must be odd" in result.stderr


def test_a_failing_cell_ends_with_code_1_and_names_it(tmp_path: Path, notebook_environment: dict[str, str]) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "01_cctm.ipynb", as_version=4)
    (cell,) = [c for c in notebook.cells if "lu.settle(" in c.source]
    cell.source = "raise RuntimeError('broken on purpose')"
    path = tmp_path / "broken.ipynb"
    nbformat.write(notebook, path)
    result = landscape("run", path, "--out", tmp_path / "out", environment=notebook_environment)
    assert result.returncode == 1
    assert "RuntimeError: broken on purpose" in result.stderr
    assert (tmp_path / "out" / "broken.ipynb").exists()


@needs_cifar10
def test_on_real_cifar10_cat_and_dog_are_each_others_strongest_interferers(
    tmp_path: Path, notebook_environment: dict[str, str]
) -> None:
    """The suite's main job on real images, at its smallest: one seed, one network."""
    environment = {**notebook_environment, "LANDSCAPE_DATA": str(REAL)}
    small = ("dataset=cifar10", "image_size=16", "architectures=resnet8", "seeds=0")
    given = [word for value in small for word in ("-p", value)]
    result = landscape("run", "01_cctm", *given, "--out", tmp_path, environment=environment)
    assert result.returncode == 0, result.stderr
    with xr.open_dataset(tmp_path / "01_cctm-heatmaps.nc", engine="netcdf4") as numbers:
        rates = numbers.cctm.mean("model").load()
    others = rates.where(rates.true != rates.predicted)
    strongest = {name: str(others.sel(true=name).idxmax("predicted").item()) for name in ("cat", "dog")}
    assert strongest == {"cat": "dog", "dog": "cat"}
    assert float(rates.sel(true="cat", predicted="dog")) == float(others.max())
    assert verdicts(tmp_path)["CI-1"] == "undecided"  # of one seed


TANGLED = (
    *("epochs=1", "seeds=0", "classes=40", "examples=20", "n_t=10", "shares=0.5"),
    *("plane_images=40", "sphere_seeds=1", "sphere_size=1000"),
)


def test_manifolds_are_measured_on_real_cifar100_where_it_is(
    tmp_path: Path, notebook_environment: dict[str, str]
) -> None:
    """Forty of a hundred classes, twenty test images of each, one seed, one epoch; else ten letters."""
    here = REAL is not None and (REAL / "cifar100.npz").exists()
    environment = {**notebook_environment, **({"LANDSCAPE_DATA": str(REAL)} if here else {})}
    words = (f"dataset={'cifar100' if here else 'glyphs10'}", "architectures=fcn", *TANGLED)
    given = tuple(word for value in words for word in ("-p", value))
    result = landscape("run", "06_mftma", *given, "--out", tmp_path, environment=environment)
    assert result.returncode == 0, result.stderr
    assert set(verdicts(tmp_path, "06_mftma")) == {f"MG-{i}" for i in (*range(1, 7), 13, 14, 15, 16)}
    of_network = {f"{name}-fcn" for name in ("course", "geometry", "shares", "planes-last", "planes-middle")}
    names = of_network | {"capacities", "spheres"}
    assert {p.name for p in tmp_path.glob("*.nc")} == {f"06_mftma-{name}.nc" for name in names}
    with xr.open_dataset(tmp_path / "06_mftma-geometry-fcn.nc", engine="netcdf4") as numbers:
        test = numbers.sel(subset="test").load()
    assert float(test["lower_bound"].max()) == pytest.approx(2 / 20)
    assert bool((test["capacity"] > 0.08).all())
    assert int(test["rank"].max()) <= (38 if here else 8)


@needs_mnist
def test_real_mnist_by_width(tmp_path: Path, notebook_environment: dict[str, str]) -> None:
    """Widths of a network that is trained one by one on real images, at their smallest."""
    words = ("epochs=1", "widths=0.125,0.25", "architectures=resnet8")
    environment = {**notebook_environment, "LANDSCAPE_DATA": str(REAL)}
    small = ("dataset=mnist", "train_size=200", "test_size=300", "examples=20", "n_t=10", "seeds=0,1", *words)
    parameters = [part for word in small for part in ("-p", word)]
    result = landscape("run", "08_double_descent", *parameters, "--out", tmp_path, environment=environment)
    assert result.returncode == 0, result.stderr
    with xr.open_dataset(tmp_path / "08_double_descent-geometry.nc", engine="netcdf4") as numbers:
        assert bool((numbers["dimension"] > 0).all())
        assert bool((numbers["parameters"].diff("width") > 0).all())
