import io

import pytest
from tqdm import tqdm

from landscape_utils.kit.bars import BAR


@pytest.mark.parametrize(("seconds", "shown"), [(1, False), (2, True)])
def test_a_bar_shows_after_two_seconds_and_leaves_its_line_empty(seconds: int, shown: bool) -> None:
    line = io.StringIO()
    with tqdm(total=2, file=line, mininterval=0, **BAR) as bar:
        bar.start_t -= seconds  # as if it had begun then
        bar.update()
        assert ("1/2" in line.getvalue()) == shown
    assert not "".join(line.getvalue().split("\r")[-2:]).strip()
