"""One-line checks for operators and functionals, your own and ours.

Each raises `CheckError`, which says what identity fails and by how much::

    wp.testing.check_operator(A)
    wp.testing.check_functional(f)
    wp.testing.check_gradient(f, x)
"""

from wellposed.testing._functionals import check_functional
from wellposed.testing._gradients import check_gradient
from wellposed.testing._operators import check_operator
from wellposed.testing._probe import CheckError

__all__ = ["CheckError", "check_functional", "check_gradient", "check_operator"]
