"""Names for the types that many functions share."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
