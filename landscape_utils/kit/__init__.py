"""What every other room stands on: errors in words, files, the store, threads, bars."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
