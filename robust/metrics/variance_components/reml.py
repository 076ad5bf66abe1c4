"""Variance components by restricted maximum likelihood (Patterson and Thompson 1971).

The likelihood of what is left of the numbers without their fixed effects, maximised over variances
that are not below 0. In a balanced design with no negative estimate the maximum is that of analysis
of variance, in closed form (Searle, Casella and McCulloch 1992). statsmodels' MixedLM maximises the
same function; near variances of 0 its search stops early, so that it is the yardstick of the tests
and not what computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize

from robust.metrics.arrays import Array
from robust.metrics.variance_components.factors import beyond, joint_span

LEAST = 1e-9
"""Below this part of all variance a component counts as 0; the residual is kept above it."""


def reml(values: Array, fixed: Array, columns: Sequence[Array], starts: Sequence[Array]) -> Array:
    """Variances `(components + 1,)`, the residual last, in squared units of `values (n,)`.

    `fixed (n, p)` are the fixed effects, each of `columns (n, levels)` a random factor; `starts`
    are variances to start the search from.
    """
    kept = beyond(np.eye(len(values)), joint_span(fixed))
    scale = float(((kept.T @ values) ** 2).mean())
    left = kept.T @ values / scale**0.5
    grams = [kept.T @ (one @ one.T) @ kept for one in columns] + [np.eye(len(left))]

    def deviance(at: Array) -> tuple[float, Array]:
        inverse = np.linalg.inv(sum(v * g for v, g in zip(at, grams, strict=True)))
        seen = inverse @ left
        slope = [float((inverse * g).sum() - seen @ g @ seen) for g in grams]
        return float(left @ seen - np.linalg.slogdet(inverse)[1]), np.array(slope)

    bounds = [(0.0, None)] * len(columns) + [(LEAST, None)]
    even = np.full(len(grams), 1 / len(grams))
    best: tuple[float, Array] | None = None
    for start in (even, *(np.maximum(one / scale, 0.0) for one in starts)):
        start[-1] = max(start[-1], LEAST)
        done = optimize.minimize(
            deviance,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000},
        )
        refined = _scored(deviance, np.asarray(done.x, np.float64), grams)
        if best is None or refined[0] < best[0] - 1e-12:
            best = refined
    assert best is not None
    found = np.where(best[1] < LEAST * best[1].sum(), 0.0, best[1])
    return np.asarray(found * scale, np.float64)


def _scored(
    deviance: Callable[[Array], tuple[float, Array]], at: Array, grams: Sequence[Array]
) -> tuple[float, Array]:
    """Fisher scoring among the variances above 0, for as long as it improves."""
    value, slope = deviance(at)
    for _ in range(20):
        free = at > LEAST
        inverse = np.linalg.inv(sum(v * g for v, g in zip(at, grams, strict=True)))
        parts = [inverse @ g for g, kept in zip(grams, free, strict=True) if kept]
        information = np.array([[float((a * b.T).sum()) for b in parts] for a in parts])
        step = np.zeros(len(at))
        step[free] = np.linalg.lstsq(information, slope[free], rcond=None)[0]
        trial = np.maximum(at - step, 0.0)
        trial[-1] = max(trial[-1], LEAST)
        reached, next_slope = deviance(trial)
        if not reached < value:
            break
        value, at, slope = reached, trial, next_slope
    return value, at
