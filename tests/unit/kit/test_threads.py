"""One thread inside, what there was outside, whatever happens."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from landscape_utils.kit.threads import one_thread


def fail_inside() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
        raise RuntimeError("inside")


def test_there_is_one_thread_inside_and_what_there_was_outside() -> None:
    np.linalg.norm(np.ones(3))  # its library is there
    before = torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]
    torch.set_num_threads(2)
    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before[0])
    assert [pool["num_threads"] for pool in threadpool_info()] == before[1]
