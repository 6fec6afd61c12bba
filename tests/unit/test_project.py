"""The project's own files agree with one another."""

import re
import tomllib

import yaml

from tests import ROOT

# conda-forge's name: the index's name
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "playwright-python": "playwright"}


def split(requirement: str) -> tuple[str, str]:
    name, bound = re.match(r"([A-Za-z0-9_.-]+)(.*)", requirement).groups()  # type: ignore[union-attr]
    return CONDA_NAMES.get(name, name), bound


def test_environment_yml_and_pyproject_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = dict(map(split, project["dependencies"] + project["optional-dependencies"]["dev"]))
    wanted["python"] = project["requires-python"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["channels"] == ["conda-forge"]
    assert {k: v for k, v in map(split, conda["dependencies"]) if k != "pip"} == wanted


def test_the_lock_pins_every_dependency_with_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", lock, flags=re.M))
    for requirement in project["dependencies"] + project["optional-dependencies"]["dev"]:
        assert split(requirement)[0] in pinned
    entries = re.findall(r"^[a-z0-9._-]+==.*?(?=^[a-z0-9._-]+==|\Z)", lock, flags=re.M | re.S)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock


def test_unit_tests_mirror_the_package() -> None:
    modules = {p.stem for p in (ROOT / "landscape_utils").glob("*.py")} - {"__init__"}
    tests = {p.stem.removeprefix("test_") for p in (ROOT / "tests" / "unit").glob("test_*.py")}
    # Tested through what stands on them: rows and runs by training, bars by what shows them, reading by data,
    # tables by profiles, products and Krylov spaces by the eigenpairs, the reduction of clouds by MFTMA.
    through = {
        "architectures",
        "state",
        "files",
        "history",
        "runs",
        "recipes",
        "bars",
        "hessian_operator",
        "lanczos",
        "clouds",
        "profile_tables",
        "memorization_tables",
        "traces",
        "sources",
        "archives",
        "interference_claims",
        "ledger",
    }
    assert modules - through == tests - {"project", "readme", "teaching", "contract", "few_seeds"}


def test_every_claim_of_this_part_of_the_ledger_is_cited_by_a_notebook() -> None:
    from landscape_utils.suite.claims import CLAIMS

    texts = "".join(p.read_text() for p in (ROOT / "notebooks").glob("*.ipynb"))
    assert all(f"**{claim}.**" in texts for claim in CLAIMS)


def test_licence_and_citation() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert len(citation["references"]) == 4
    assert citation["license"] == "BSD-3-Clause"
