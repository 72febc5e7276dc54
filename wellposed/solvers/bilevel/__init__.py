"""Learning the parameters of an objective: hypergradients with error bounds, MAID, HOAG, searches, evidence.

``lower`` is an objective ``h(x, theta)`` whose minimiser is compared with the truth by ``loss``, the upper
level. `hypergradient` differentiates the loss of the minimiser, `learn` minimises it.
"""

from wellposed.solvers.bilevel.constants import Constants, Given
from wellposed.solvers.bilevel.elbo import Elbo
from wellposed.solvers.bilevel.hoag import Hoag
from wellposed.solvers.bilevel.hypergradient import Hypergradient, hypergradient
from wellposed.solvers.bilevel.learn import learn
from wellposed.solvers.bilevel.learned import Learned, Progress
from wellposed.solvers.bilevel.maid import Maid
from wellposed.solvers.bilevel.method import Row
from wellposed.solvers.bilevel.quasi_newton import QuasiNewton
from wellposed.solvers.bilevel.search import Grid, NelderMead, Random
from wellposed.solvers.bilevel.self_tuning import SelfTuning

__all__ = [
    "Constants",
    "Elbo",
    "Given",
    "Grid",
    "Hoag",
    "Hypergradient",
    "Learned",
    "Maid",
    "NelderMead",
    "Progress",
    "QuasiNewton",
    "Random",
    "Row",
    "SelfTuning",
    "hypergradient",
    "learn",
]
