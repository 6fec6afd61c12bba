import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from landscape_utils.kit import journal
from landscape_utils.kit.journal import Journal
from landscape_utils.kit.store import DamagedFileWarning, Shelf

STEPS = 9


pytestmark = pytest.mark.usefixtures("kept_at_once")


def walk(kept: Journal, turns: tuple[int, ...] = (), stop: int = STEPS) -> tuple[Tensor, list[int]]:
    """Double and add, from what the journal has: the sum, and which steps were computed."""
    computed: list[int] = []
    total, begun = torch.ones(2), 0
    if kept.state is not None:
        total, begun = kept.state["total"], int(kept.state["step"])
    for step in range(begun, STEPS):
        if step == stop:
            raise KeyboardInterrupt

        def double(step: int = step, total: Tensor = total) -> Tensor:
            computed.append(step)
            return 2 * total

        total = kept.step(double) + step
        if step in turns:
            kept.turn(lambda: {"total": total, "step": torch.tensor(step + 1)})  # noqa: B023  # called at once
    return total, computed


WHOLE = walk(Journal(None, "x"))[0]


@given(st.sets(st.integers(0, STEPS - 1)), st.lists(st.integers(0, STEPS - 1), max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_wherever_it_stops_nothing_is_repeated_and_the_end_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, turns: set[int], stops: list[int]
) -> None:
    shelf, done = Shelf(tmp_path_factory.mktemp("shelf")), 0
    for stop in stops:
        if stop > done:
            with pytest.raises(KeyboardInterrupt):
                walk(Journal(shelf, "x"), tuple(turns), stop)
            done = stop
    total, computed = walk(Journal(shelf, "x"), tuple(turns))
    assert torch.equal(total, WHOLE)
    assert computed == list(range(done, STEPS))


def test_a_turn_forgets_the_steps_before_it(shelf: Shelf) -> None:
    walk(Journal(shelf, "x"), (6,))
    assert sorted(p.name.split(".")[0] for p in shelf.folder.iterdir()) == ["x-state", "x-steps-1-0", "x-steps-1-1"]


def test_what_is_quickly_done_is_not_written(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PAUSE", 60.0)
    walk(Journal(shelf, "x"), (4,))
    assert not shelf.folder.exists()


def test_behind_a_damaged_file_all_is_computed_again(shelf: Shelf) -> None:
    walk(Journal(shelf, "x"))
    (victim,) = shelf.folder.glob("x-steps-0-5.*")
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.warns(DamagedFileWarning):
        total, computed = walk(Journal(shelf, "x"))
    assert torch.equal(total, WHOLE)
    assert computed == list(range(5, STEPS))
    assert walk(Journal(shelf, "x"))[1] == []


def test_a_killed_process_leaves_its_steps(shelf: Shelf) -> None:
    code = (
        "from pathlib import Path; from landscape_utils.kit import journal, store\n"
        "from tests.unit.kit.test_journal import *\n"
        "store.SAVING, journal.PAUSE = float('inf'), 0.0\n"
        f"kept = Journal(Shelf(Path({str(shelf.folder)!r})), 'x'); step = kept.step\n"
        "def slow(compute):\n"
        "    if len(list(kept._shelf.folder.glob('x-steps-*'))) == 4: print('waiting', flush=True); input()\n"
        "    return step(compute)\n"
        "kept.step = slow; walk(kept)"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        os.kill(process.pid, signal.SIGKILL)
    assert walk(Journal(shelf, "x"))[1] == list(range(4, STEPS))
