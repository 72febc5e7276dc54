"""A transport plan with the right sums, near one whose sums are nearly right."""

from __future__ import annotations

import numpy as np


def rounded(plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Scale down rows and columns that are too large, and add a product for what is missing.

    J. Altschuler, J. Weed and P. Rigollet, Near-linear time approximation algorithms for optimal transport
    via Sinkhorn iteration, 2017, algorithm 2; for positive weights. The plan itself where its sums are right
    up to rounding.
    """
    rows, columns = plan.sum(axis=1), plan.sum(axis=0)
    mass = float(a.sum())
    if np.abs(rows - a).sum() + np.abs(columns - b).sum() <= 1e-14 * mass:
        return plan
    # A sum of 0 is never too large, and is filled up below.
    keep = np.minimum(1.0, a / np.where(rows > 0, rows, a))
    plan = plan * keep[:, None]
    columns = plan.sum(axis=0)
    plan *= np.minimum(1.0, b / np.where(columns > 0, columns, b))
    lacking, open_ = np.maximum(a - plan.sum(axis=1), 0.0), np.maximum(b - plan.sum(axis=0), 0.0)
    if lacking.sum() > 0 and open_.sum() > 0:
        plan += np.outer(lacking, open_ / open_.sum())
    return plan
