import time

import pytest

from landscape_utils.kit import clock


def test_seconds_are_counted_by_work_also_where_it_fails() -> None:
    before = dict(clock.SECONDS)

    @clock.spent_on("training")
    def failing() -> None:
        time.sleep(0.02)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    with clock.spent_on("training"):
        time.sleep(0.02)
    assert clock.SECONDS["training"] - before.get("training", 0) >= 0.04
    assert clock.SECONDS["landscapes"] == before.get("landscapes", 0)
