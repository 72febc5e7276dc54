"""The weight of the penalty from which on the oracle inequality is proven."""

from __future__ import annotations

import math


def oracle_weight(
    n: int,
    p: int,
    experts: int,
    *,
    outputs: int = 1,
    precision: float = 1.0,
    gate: float = 1.0,
    mean: float = 1.0,
    kappa: float = 148.0,
) -> float:
    r"""The least weight of the L1 penalty, on the mean log-likelihood, that the oracle inequality asks for.

    .. math:: \lambda = \kappa \frac{K B_n}{\sqrt n} \big(q \log n \sqrt{\log(2 p + 1)} + 1\big),

    .. math:: B_n = \max(A_\Sigma, 1 + K A_G)
              \big(1 + 2 q^{3/2} A_\Sigma (5 A_\beta^2 + 4 A_\Sigma \log n)\big)

    Parameters
    ----------
    n, p, experts : int
        Samples, features and ``K``.
    outputs : int
        ``q``, entries of ``y``.
    precision : float
        :math:`A_\Sigma`, an upper bound of the inverse variances.
    gate : float
        :math:`A_G`, an upper bound of the gates.
    mean : float
        :math:`A_\beta`, an upper bound of the means of the experts.
    kappa : float
        At least 148.

    Returns
    -------
    float
        For a penalty on the *mean* log-likelihood: times ``n`` for `mixture_of_experts`.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    A constant of a proof: orders of magnitude above the weights that are of use, and no default.
    Source: T. T. Nguyen et al., arXiv 2009.10622, with the constants as they are commonly quoted.

    Examples
    --------
    >>> from wellposed.solvers.mixture import oracle_weight
    >>> oracle_weight(300, 6, 2, mean=3.0) > 1e4
    True
    """
    if n < 2 or p < 1 or experts < 1 or outputs < 1:
        raise ValueError(
            f"need n >= 2, p >= 1, experts >= 1 and outputs >= 1; got {n}, {p}, {experts}, {outputs}"
        )
    if not (min(precision, gate, mean) > 0 and kappa >= 148):
        raise ValueError(
            "precision, gate and mean must be positive and kappa at least 148; got "
            f"{precision}, {gate}, {mean}, {kappa}"
        )
    spread = 1 + 2 * outputs * math.sqrt(outputs) * precision * (5 * mean**2 + 4 * precision * math.log(n))
    bound = max(precision, 1 + experts * gate) * spread
    rate = (outputs * math.log(n) * math.sqrt(math.log(2 * p + 1)) + 1) / math.sqrt(n)
    return kappa * experts * bound * rate
