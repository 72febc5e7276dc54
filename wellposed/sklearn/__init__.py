r"""Sparse regression and classification as estimators of scikit-learn, each fit with a certificate.

All of them minimise the mean loss of a sample plus a penalty, over coefficients and a free intercept:

.. math:: \min_{w, c} \; \frac1n \sum_i \ell(x_i^T w + c;\, y_i) + \alpha\, g(w)

with :math:`\ell(u; y) = (u - y)^2 / 2` for the linear models, so that ``alpha`` means what it means in
scikit-learn: :math:`\frac{1}{2n}\|y - Xw - c\|^2 + \alpha \|w\|_1` for `Lasso`.
"""

from typing import TYPE_CHECKING, Any

from wellposed.sklearn.cross_validated import (
    ElasticNetCV,
    GroupLassoCV,
    HuberRegressorCV,
    LassoCV,
    PoissonRegressorCV,
    SparseGroupLassoCV,
    SparseLogisticRegressionCV,
)
from wellposed.sklearn.generalised import HuberRegressor, PoissonRegressor
from wellposed.sklearn.linear import ElasticNet, GroupLasso, Lasso, SparseGroupLasso
from wellposed.sklearn.logistic import SparseLogisticRegression
from wellposed.sklearn.pursuit import OrthogonalMatchingPursuit

if TYPE_CHECKING:
    from wellposed.sklearn.transports import GroupLassoTransport, SumOfNormsTransport

__all__ = [
    "ElasticNet",
    "ElasticNetCV",
    "GroupLasso",
    "GroupLassoCV",
    "GroupLassoTransport",
    "HuberRegressor",
    "HuberRegressorCV",
    "Lasso",
    "LassoCV",
    "OrthogonalMatchingPursuit",
    "PoissonRegressor",
    "PoissonRegressorCV",
    "SparseGroupLasso",
    "SparseGroupLassoCV",
    "SparseLogisticRegression",
    "SparseLogisticRegressionCV",
    "SumOfNormsTransport",
]


def __getattr__(name: str) -> Any:
    # POT's estimators, which these build on, take long to import.
    if name not in ("GroupLassoTransport", "SumOfNormsTransport"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wellposed.sklearn import transports

    return getattr(transports, name)


def __dir__() -> list[str]:
    return __all__
