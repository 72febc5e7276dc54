r"""The error bound of a hypergradient, and bounds of the loss at the exact minimiser.

With ``eps`` the distance of ``x`` to the exact minimiser and ``delta`` the residual of the linear system,

.. math::

    c &= L_g \|J\|/\mu + L_{H^{-1}} \|\nabla g\| \|J\| + L_J \|\nabla g\|/\mu \\
    \omega &= c\,\epsilon + (\|J\|/\mu)\,\delta + (L_J L_g/\mu)\,\epsilon^2, \qquad L_{H^{-1}} = L_H/\mu^2

(M. S. Salehi, S. Mukherjee, L. Roberts and M. J. Ehrhardt, An adaptively inexact first-order method for
bilevel optimization, 2025, Theorem 2.1).
"""

from __future__ import annotations

import math

from wellposed.solvers.bilevel.constants import Constants


def error_bound(c: Constants, slope: float, eps: float, delta: float) -> float:
    """``omega`` for ``slope``, the norm of the gradient of the loss at ``x``."""
    mu = c.strong_convexity
    if not mu > 0:
        return math.inf
    inverse = c.hessian_lipschitz / mu**2
    per_eps = c.loss_lipschitz * c.mixed_norm / mu
    per_eps += inverse * slope * c.mixed_norm + c.mixed_lipschitz * slope / mu
    return per_eps * eps + c.mixed_norm / mu * delta + c.mixed_lipschitz * c.loss_lipschitz / mu * eps**2


def loss_above(value: float, slope: float, L_g: float, eps: float) -> float:
    """At least the loss at the exact minimiser."""
    return value + slope * eps + 0.5 * L_g * eps**2


def loss_below(value: float, slope: float, L_g: float, eps: float, convex: bool) -> float:
    """At most the loss at the exact minimiser; a convex loss is above its tangents."""
    return value - slope * eps - (0.0 if convex else 0.5 * L_g * eps**2)
