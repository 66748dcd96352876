"""The bins of an index's histograms: half octaves of |activation|.

They are bounded by 2^e and 1.5·2^e, so that the sign, the exponent and the first bit of the
mantissa of a float32 say which one a number is in.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

N_BINS = 40
LOWEST = -10
"""Exponent of the first bin; all that is smaller is in it, and all that is larger in the last."""
EDGES = tuple(2.0 ** (LOWEST + n // 2) * (1.5 if n % 2 else 1.0) for n in range(N_BINS))
"""Lower bounds of the bins; that of the first is 0 in truth."""


def bins_of(sizes: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The bin that each of some sizes is in."""
    return np.clip(np.searchsorted(EDGES, sizes, "right") - 1, 0, None)
