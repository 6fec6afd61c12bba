import json
import sys
from pathlib import Path

import numpy as np
import pytest

from landscape_utils.data.datasets import Dataset, from_arrays
from landscape_utils.kit import store
from landscape_utils.run import cli
from landscape_utils.training.recipes import RunSpec
from landscape_utils.training.training import train
from tests import ROOT
from tests.conftest import small_arrays
from tests.unit.judgements import of_one_part


def landscape(*words: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["landscape", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["01_cctn"], "01_cctm"),
        (["01_cctm", "-p", "datasett=cifar10"], "dataset"),
        (["01_cctm", "-p", "dataset=cifar01"], "cifar10"),
        (["01_cctm", "-p", "architectures=resnet9"], "resnet8"),
        (["01_cctm", "-p", "recipe=aneal-lr"], "anneal-lr"),
        (["01_cctm", "--profile", "quik"], "quick"),
        (["01_cctm", "-p", "epochs=ten"], "int"),
        (["01_cctm", "-p", "epochs=2.5"], "int"),
        (["01_cctm", "-p", "accept_part=3"], "bool"),
        (["01_cctm", "-p", "epochs"], "name=value"),
        (["01_cctm", "-p", "dataset=no/such.npz"], ".npz"),
        ([], "--all"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_code_2_and_nothing_written(
    words: list[str],
    nearest: str,
    tmp_path: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert landscape("run", *words, "--out", tmp_path / "out", monkeypatch=monkeypatch) == 2
    said = capsys.readouterr()
    assert nearest in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert said.out == ""
    assert not (tmp_path / "out").exists()
    assert not home.exists()


def damaged(path: Path, how: str) -> Path:
    """Make data of one's own that cannot be read."""
    arrays = {**small_arrays()._asdict(), "classes": np.array(["a", "b", "c"])}
    if how == "a folder without train/":
        path = path.with_suffix("")
        path.mkdir()
    elif how == "lacks a key":
        np.savez(path, **{name: array for name, array in arrays.items() if name != "y_test"})
    else:
        np.savez(path, **arrays)
        content = bytearray(path.read_bytes())
        content[2000:2010] = bytes(b ^ 1 for b in content[2000:2010])
        path.write_bytes({"no npz": b"text", "truncated": content[:3000], "flipped bytes": content}[how])
    return path


@pytest.mark.parametrize("how", ["a folder without train/", "lacks a key", "no npz", "truncated", "flipped bytes"])
@pytest.mark.parametrize(
    ("command", "notebook", "name"),
    [("run", "01_cctm", "dataset"), ("sweep", "05_bias_plateau", "simple"), ("app", "01_cctm", "dataset")],
)
def test_data_that_cannot_be_read_are_refused_before_a_kernel_starts(
    how: str,
    command: str,
    notebook: str,
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = damaged(tmp_path / "own.npz", how)
    assert (
        landscape(command, ROOT / "notebooks" / f"{notebook}.ipynb", "-p", f"{name}={path}", monkeypatch=monkeypatch)
        == 2
    )
    said = capsys.readouterr().err
    assert str(path) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("content", "code"), [(b"no archive", 2), (None, 0)])
def test_a_stored_archive_that_is_damaged_is_refused_at_once(
    content: bytes | None,
    code: int,
    small_npz: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = small_npz.rename(small_npz.with_name("mnist.npz"))
    if content is not None:
        stored.write_bytes(content)
    monkeypatch.setenv("LANDSCAPE_DATA", str(stored.parent))
    words = ("dataset=mnist", "architectures=mlp", "train_size=60", "test_size=30")
    given = [word for value in words for word in ("-p", value)]
    assert landscape("run", "01_cctm", *given, "--dry-run", monkeypatch=monkeypatch) == code
    assert (f"{stored} is damaged or is no .npz archive" in capsys.readouterr().err) == (code == 2)


def test_an_unknown_command_or_option_ends_with_code_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert landscape("rnu", monkeypatch=monkeypatch) == 2
    assert "Did you mean 'run'?" in capsys.readouterr().err
    assert landscape("run", "--ot", monkeypatch=monkeypatch) == 2
    assert landscape("data", "cifar01", monkeypatch=monkeypatch) == 2


def test_dry_run_says_what_it_would_cost_and_writes_nothing(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, small_npz: Path
) -> None:
    words = (
        "run",
        "01_cctm",
        "-p",
        f"dataset={small_npz}",
        "-p",
        "architectures=mlp",
        "--dry-run",
        "--out",
        tmp_path / "o",
    )
    assert landscape(*words, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "60 training and 30 test images" in said
    assert "mlp, anneal-lr, 7 epochs, 5 trainings: 5 times 0 s" in said
    assert "nothing was written" in said
    assert not home.exists()
    assert not (tmp_path / "o").exists()


def test_list_names_everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert landscape("list", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    for name in ("01_cctm", "glyphs10", "cub200", "resnet56-ns", "memorize"):
        assert name in said


def test_data_fetches_and_says_where(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, small_npz: Path
) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(small_npz.parent))
    small_npz.rename(small_npz.with_name("mnist.npz"))
    assert landscape("data", "mnist", monkeypatch=monkeypatch) == 0
    assert f"kept in {small_npz.parent}" in capsys.readouterr().out


def test_all_data_are_fetched_as_far_as_they_can_be_had(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, small_npz: Path
) -> None:
    def only_mnist(name: str) -> Dataset:
        if name != "mnist":
            raise FileNotFoundError(f"{name} is not there")
        return from_arrays("mnist", small_arrays())

    monkeypatch.setattr("landscape_utils.data.datasets.load_dataset", only_mnist)
    assert landscape("data", "--all", monkeypatch=monkeypatch) == 1
    said = capsys.readouterr()
    assert "mnist" in said.out
    assert "5 of 6 could not be fetched: cifar10, cifar100, fashion_mnist, tiny_imagenet, cub200" in said.err
    assert landscape("data", monkeypatch=monkeypatch) == 2
    assert "or --all" in capsys.readouterr().err


def test_the_cache_can_be_listed_measured_and_cleared(
    small: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(RunSpec(dataset="small", model="mlp", epochs=1), data=small, progress=False)
    (run.shelf.folder.parent / "half").mkdir()
    store.shelf("mined", "abc").put_json("state", {})
    assert landscape("cache", "list", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "mlp on small, 1 epochs, seed 0" in said
    assert "unfinished" in said
    assert landscape("cache", "size", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "2 runs" in said
    assert "1 mined" in said
    assert landscape("cache", "clear", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "removed 2 runs" in said
    assert "removed 1 mined" in said
    assert not run.shelf.folder.exists()


def test_report_reads_the_verdicts_from_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from landscape_utils.suite import claims

    about = {"notebook": "01_cctm", "profile": "quick", "data": "d", "seeds": [0], "machine": "m", "versions": {}}
    path = tmp_path / "01_cctm.claims.json"
    claims.save([of_one_part("CI-1", measured="13 %")], path, about)
    assert landscape("report", "--out", tmp_path, monkeypatch=monkeypatch) == 0
    assert "**reproduced**" in (tmp_path / "report.md").read_text()
    content = json.loads(path.read_text())
    content["claims"][0]["parts"][0]["verdict"] = "not seen"
    path.write_text(json.dumps(content))
    assert landscape("report", "--out", tmp_path, monkeypatch=monkeypatch) == 0
    assert "**not reproduced**" in (tmp_path / "report.md").read_text()
    path.write_text("{}")
    assert landscape("report", "--out", tmp_path, monkeypatch=monkeypatch) == 2
    assert "holds no claims" in capsys.readouterr().err
    assert landscape("report", "--out", tmp_path / "empty", monkeypatch=monkeypatch) == 2
    assert "run a notebook first" in capsys.readouterr().err
