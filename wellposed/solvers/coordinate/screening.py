r"""Which coefficients (or groups) need no look at present, and which are zero in the solution.

The pull on coefficient ``j`` is :math:`v_j = -A_j^T s` at slope ``s``. Between two slopes it changes by at
most :math:`\|A_j\| \|s - s'\|`. From an anchor, a slope at which all pulls are known, each coefficient
therefore has a **reach**: the distance within which it stays inside the dual constraint that keeps it zero.

* Farther than the present slope, a reach shows that the coefficient violates nothing and that its dual
  constraint holds: its pull is not computed, and the certificate is the same without it.
* The minimiser of the dual lies within :math:`\sqrt{2 L\, \mathrm{gap}}` of a dual point with that gap, for
  a loss with an ``L``-Lipschitz gradient. A reach beyond this shows that the coefficient is zero in every
  solution: it never enters the working set again. This is the sphere test of E. Ndiaye, O. Fercoq,
  A. Gramfort and J. Salmon, Gap safe screening rules for sparsity enforcing penalties, 2017.
"""

from __future__ import annotations

import math

import numpy as np

from wellposed.solvers.coordinate.form import Form

AFTER = 2
"""Products with the whole matrix before the lengths of its columns are computed too."""

SHARE = 0.5
"""Part of the coefficients above which all pulls are computed at once."""

NOISE = 64.0
"""Rounding of a pull, in units of the precision, of the length of a column and of the slope."""


class Screen:
    """What is known of the coefficients (or groups) outside the working set."""

    def __init__(self, form: Form):
        self.form = form
        self.gone = np.zeros(form.penalty.count, bool)
        self.open = np.ones(form.penalty.count, bool)
        """Those whose pull the last look computed; the others stay zero."""
        self._anchor: np.ndarray | None = None
        self._reach = np.empty(0)
        self._lengths: np.ndarray | None = None
        self._passes = 0
        self._possible = form.design.heavy and form.penalty.thresholded

    def pull(self, slope: np.ndarray, kept: np.ndarray) -> np.ndarray:
        r"""Minus :math:`A^T` of a slope, where a coefficient that needs no look gets a pull inside.

        ``kept`` are the coefficients (or groups) of the working set, which are always looked at.
        """
        if self._anchor is not None:
            self.open = self._reach <= np.linalg.norm(slope - self._anchor)
            self.open[kept] = True
            if np.count_nonzero(self.open) <= SHARE * self.open.size:
                p = self.form.penalty
                index = np.flatnonzero(self.open if p.groups is None else self.open[p.groups.of])
                return -self.form.design.correlate_some(slope, index, p.q)
        self.open = np.ones_like(self.open)
        return self._look_at_all(slope)

    def _look_at_all(self, slope: np.ndarray) -> np.ndarray:
        form = self.form
        self._passes += 1
        if self._lengths is None and self._possible and self._passes > AFTER:
            products, lengths = form.design.correlate_and_measure(slope, form.loss.centred)
            self._lengths = form.penalty.joined(lengths)
        else:
            products = form.design.correlate(slope)
        if self._lengths is not None:
            self._anchor = slope
            room = form.penalty.room(form.penalty.q - products)
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = np.where(room > 0, room / self._lengths, -math.inf)
            noise = NOISE * float(np.finfo(slope.dtype).eps)
            self._reach = reach * (1 - noise) - noise * np.linalg.norm(slope)
        return np.asarray(-products)

    def drop(self, y: np.ndarray, gap: float) -> None:
        """Find what is zero in every solution, from a dual point and the gap that it proves."""
        loss = self.form.loss
        lipschitz = loss.f.traits.lipschitz
        if self._anchor is None or lipschitz is None or not math.isfinite(gap * lipschitz):
            return
        stretch = 1.0 if loss.centring is None else loss.centring.norm()
        away = float(np.linalg.norm(loss.pulled_back(y.reshape(-1)) - self._anchor))
        self.gone |= self._reach > away + stretch * math.sqrt(2 * lipschitz * gap)
