"""What the command is given is checked before a kernel starts; tests/notebooks/test_execute.py has the kernels."""

from pathlib import Path

import pytest

from landscape_utils.run import execute
from landscape_utils.suite.notebooks import notebook_path
from tests.unit.run.test_cli import landscape


@pytest.mark.parametrize("content", ["{ not json", "[]", "{}", '"text"', '{"nbformat": 4, "cells": 3}', "\x00\xff"])
@pytest.mark.parametrize("command", ["run", "sweep", "app"])
def test_a_file_that_is_no_notebook_is_refused(
    content: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_bytes(content.encode("latin-1"))
    assert landscape(command, path, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert said == f"landscape: {path} is no notebook, or a damaged one; give a Jupyter notebook in its own format\n"


def test_parameters_are_parsed_to_their_types() -> None:
    path = notebook_path("01_cctm")
    given = execute.parse(
        path,
        ["epochs=3", "threshold=1", "architectures=mlp,vgg11", "seeds=[0, 1]", "dataset=cifar10", "accept_part=True"],
    )
    assert given == {
        "epochs": 3,
        "threshold": 1,
        "architectures": ["mlp", "vgg11"],
        "seeds": [0, 1],
        "dataset": "cifar10",
        "accept_part": True,
    }
    assert execute.parse(path, ["architectures=mlp", "seeds=4", "epochs=None"]) == {
        "architectures": ["mlp"],
        "seeds": [4],
        "epochs": None,
    }
