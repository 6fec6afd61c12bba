"""Tiny notebooks are really run: one that fails, one whose kernel dies, and one that is stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from landscape_utils.run import execute
from tests.conftest import write_notebook
from tests.unit.run.test_cli import landscape

CODES = {
    "bad": ["raise RuntimeError('broken\\non purpose')"],
    "dead": ["1 + 1", "import os\nos._exit(3)"],
    "killed": ["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"],
    "fine": ["import os\nassert os.environ['LANDSCAPE_OUT'].endswith('out')\nassert x == 2"],
    "slow": ["import subprocess, time\nchild = subprocess.Popen(['sleep', '300'])\ntime.sleep(300)"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, codes in CODES.items():
        write_notebook(tmp_path / f"{name}.ipynb", "x = 1  # type: int", *codes)
    return tmp_path


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_failing_notebook_is_named_and_the_others_are_finished(
    at_once: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    out = folder / "out"
    out.mkdir()
    for stale in ("bad", "fine"):  # what an earlier run claimed is not this one's
        (out / f"{stale}.claims.json").write_text("an earlier run's")
    names = [f"{name}.ipynb" for name in ("bad", "dead", "fine")]
    words = ("run", *names, "-p", "x=2", "--at-once", at_once, "--out", "out")
    assert landscape(*words, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr()
    assert "bad failed in cell 3: RuntimeError: broken on purpose; see out/bad.ipynb\n" in said.err
    assert "dead failed in cell 4: DeadKernelError: Kernel died; see out/dead.ipynb\n" in said.err
    assert said.err.splitlines()[-1].startswith("landscape: 2 of 3 notebooks failed, and have no claims: ")
    assert "fine: " in said.out
    for page in ("report.md", "report.html"):
        text = (out / page).read_text()
        assert "bad failed in cell 3: RuntimeError: broken on purpose" in text
        assert "dead failed in cell 4" in text
        assert "fine failed" not in text
    assert not list(out.glob("*.claims.json"))
    assert {path.name for path in out.glob("*.unfinished")} == {"bad.unfinished", "dead.unfinished"}
    assert "LANDSCAPE_OUT" not in os.environ


def test_a_failure_is_told_when_it_happens(folder: Path) -> None:
    jobs = [(folder / f"{name}.ipynb", {"x": 2}) for name in ("killed", "slow", "fine")]
    running = execute.execute_all(jobs, at_once=2, out=folder / "out", figures=folder)
    path, _, problem = next(running)
    assert (path.stem, problem.split(";")[0]) == ("killed", "killed failed in cell 3: DeadKernelError: Kernel died")
    assert (folder / "out" / "killed.unfinished").read_text() == problem
    running.close()  # as an error in what consumes it would
    assert (folder / "out" / "slow.unfinished").read_text() == "slow did not finish"
    assert not [p for p in psutil.Process().children(recursive=True) if "ipykernel" in " ".join(p.cmdline())]


def test_a_notebook_that_is_mended_is_missing_no_more(folder: Path) -> None:
    for code, claims in (("raise ValueError", False), ("open('out/one.claims.json', 'w').close()", True)):
        path = write_notebook(folder / "one.ipynb", "x = 1  # type: int", f"import os; os.chdir({str(folder)!r})", code)
        ((_, _, problem),) = execute.execute_all([(path, {})], at_once=1, out=folder / "out", figures=folder)
        assert (problem == "", (folder / "out" / "one.claims.json").exists()) == (claims, claims)
        assert (folder / "out" / "one.unfinished").exists() != claims


def heed_ctrl_c() -> None:
    """Undo what a shell does to a command in the background, which is to ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(("at_once", "whom"), [(1, "the group"), (2, "the command alone")])
def test_ctrl_c_stops_everything_and_leaves_no_process(at_once: int, whom: str, folder: Path) -> None:
    again = write_notebook(folder / "slow2.ipynb", "x = 1  # type: int", *CODES["slow"])
    words = ["run", str(folder / "slow.ipynb"), str(again), f"--at-once={at_once}", f"--out={folder / 'out'}"]
    command = [sys.executable, "-m", "landscape_utils.run.cli", *words]
    how = {"start_new_session": True, "stderr": subprocess.PIPE, "text": True, "preexec_fn": heed_ctrl_c}
    with subprocess.Popen(command, **how) as running:
        started = begun = time.monotonic()
        children: list[psutil.Process] = []
        while sum(child.name() == "sleep" for child in children) < at_once:
            assert running.poll() is None
            assert time.monotonic() - started < 120
            time.sleep(0.1)
            children = psutil.Process(running.pid).children(recursive=True)
        begun = time.monotonic()
        (os.killpg if whom == "the group" else os.kill)(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert time.monotonic() - begun < 30  # three seconds on an idle machine
    assert psutil.wait_procs(children, timeout=3)[1] == []
    assert said.splitlines()[-1].startswith("landscape: stopped; what was finished is kept")
    assert "Traceback" not in said
