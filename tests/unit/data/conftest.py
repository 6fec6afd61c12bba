from pathlib import Path

import numpy as np

from tests.conftest import small_arrays


def write_npz(path: Path, **changes: object) -> Path:
    arrays = small_arrays()
    content = {**arrays._asdict(), "classes": np.array(arrays.classes), **changes}
    np.savez(path, **{k: v for k, v in content.items() if v is not None})
    return path
