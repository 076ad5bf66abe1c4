"""Types of numpy arrays that figures are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
"""Numbers: scores, logits, distances."""
Mask = npt.NDArray[np.bool_]
"""Which cases count."""
Places = npt.NDArray[np.int64]
"""Indices of cases, groups or folds."""
