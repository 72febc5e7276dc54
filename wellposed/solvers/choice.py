"""Which solver for which problem: each says what it needs, `choose` takes the first that fits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.solvers import smooth
from wellposed.solvers.admm import ADMM, InnerCG, Linearised
from wellposed.solvers.coordinate.form import coordinate_form, starts_outside
from wellposed.solvers.coordinate.working_set import WorkingSet
from wellposed.solvers.denoising import Denoising, denoising_form
from wellposed.solvers.krylov import ConjugateGradient
from wellposed.solvers.lbfgs import run_lbfgs
from wellposed.solvers.loop import Control, Iteration
from wellposed.solvers.metric import MetricFISTA
from wellposed.solvers.mm_gks import MMGKS, gks_form
from wellposed.solvers.normal_repair import normal_form
from wellposed.solvers.plan import Plan
from wellposed.solvers.primal_dual import PrimalDual
from wellposed.solvers.problem import Problem, Term
from wellposed.solvers.projected_newton import ProjectedNewton, newton_form
from wellposed.solvers.proximal_gradient import ProximalGradient
from wellposed.solvers.quadratic_admm import QuadraticADMM
from wellposed.solvers.result import Result
from wellposed.solvers.tv_form import tv_form


@dataclass(frozen=True)
class Entry:
    """A solver as the front door knows it.

    Parameters
    ----------
    name : str
    reason : str
        Why it is taken when it fits.
    refuses : callable
        From a problem to the reason why it cannot be minimised, or ``""``.
    build : callable
        From a problem and a tolerance to its `Iteration`.
    steps : callable
        From a problem to a sentence on its step rule.
    copies : callable
        From a problem to the number of values that the solver keeps.
    max_iter : int
    run : callable, optional
        Replaces the shared loop (SciPy's solver brings its own).
    """

    name: str
    reason: str
    refuses: Callable[[Problem], str]
    build: Callable[[Problem, float], Iteration]
    steps: Callable[[Problem], str]
    copies: Callable[[Problem], int]
    max_iter: int = 20_000
    yields: Callable[[Problem], bool] = lambda p: False
    """Whether ``solver="auto"`` passes on, though the solver could."""
    run: Callable[[Problem, Plan, Control, Array | None], Result] | None = None


# --- what each solver needs -----------------------------------------------------------------------


def _functionals(p: Problem) -> list[Functional]:
    return [p.simple, *(t.f for t in p.terms)]


def _no_smooth_prox(p: Problem) -> str:
    rough = [t for t in p.terms if not t.f.traits.smooth]
    if rough:
        return f"{rough[0]} is neither smooth nor a proximal map on x itself"
    return _unbounded_slope(p) or ("" if p.simple.traits.prox else f"{p.simple} has no proximal map")


def _unbounded_slope(p: Problem) -> str:
    """Such a term may end at a border, which its proximal map respects and a gradient step does not."""
    steep = [t for t in p.terms if t.f.traits.prox and t.f.traits.lipschitz == math.inf]
    return (
        f"{steep[0]} has no Lipschitz gradient, and a proximal map that can be used instead" if steep else ""
    )


def _not_closed(p: Problem) -> str:
    return "the objective has terms beyond one proximal map" if p.terms else ""


def _not_quadratic(p: Problem) -> str:
    rough = [f for f in _functionals(p) if not f.traits.quadratic]
    return f"{rough[0]} is not quadratic" if rough else ""


def _not_smooth(p: Problem) -> str:
    rough = [f for f in _functionals(p) if not f.traits.smooth]
    return f"{rough[0]} is not differentiable" if rough else _unbounded_slope(p)


def _no_primal_dual(p: Problem) -> str:
    if not p.convex:
        return "the objective is not convex"
    stuck = [t for t in p.terms if not t.f.traits.prox and not _finite_lipschitz(t)]
    if stuck:
        return f"{stuck[0]} has neither a proximal map nor a Lipschitz gradient"
    return "" if any(t.f.traits.prox for t in p.terms) else "there is no term to dualise"


def _no_admm(p: Problem) -> str:
    if not p.convex:
        return "the objective is not convex"
    stuck = [f for f in _functionals(p) if not f.traits.prox]
    if stuck:
        return f"{stuck[0]} has no proximal map"
    return "" if p.terms else "there is no term to split"


def _no_denoising(p: Problem) -> str:
    form = denoising_form(p)
    return form if isinstance(form, str) else ""


def _no_coordinates(p: Problem) -> str:
    form = coordinate_form(p)
    return form if isinstance(form, str) else ""


def _no_tv_form(p: Problem) -> str:
    form = tv_form(p)
    if isinstance(form, str):
        return form
    if form.tv.f.traits.smooth:
        return f"{form.tv.f} is smooth, which other solvers make more of"
    return "" if form.data.f.traits.quadratic else f"{form.data.f} is not quadratic"


def _no_normal_form(p: Problem) -> str:
    if normal_form(p) is None:
        return "the objective is no quadratic data fit plus a norm behind a graph Laplacian"
    stuck = [f for f in _functionals(p) if not f.traits.prox and not f.traits.quadratic]
    return f"{stuck[0]} has no proximal map" if stuck else ""


def _no_newton_form(p: Problem) -> str:
    form = newton_form(p)
    return form if isinstance(form, str) else ""


def _no_gks_form(p: Problem) -> str:
    form = gks_form(p)
    return form if isinstance(form, str) else ""


def _spectrum_unknown(p: Problem) -> bool:
    form = tv_form(p)
    return isinstance(form, str) or (form.data.K is not None and form.data.K.gram_symbol() is None)


def _finite_lipschitz(t: Term) -> bool:
    return t.f.traits.lipschitz is not None and math.isfinite(t.f.traits.lipschitz)


# --- what the plan says ---------------------------------------------------------------------------


def _size(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def _variables(p: Problem, copies: int) -> int:
    return copies * _size(p.shape)


def _duals(p: Problem) -> int:
    return sum(_size(t.range_shape(p.shape)) for t in p.terms)


def _gradient_steps(p: Problem) -> str:
    constant = smooth.lipschitz(p.terms)
    if math.isinf(constant):
        return "found by backtracking: the gradient has no known Lipschitz constant"
    return f"at least 1/L with L = {constant:.6g}, longer where backtracking allows it"


SOLVERS: dict[str, Entry] = {}


def register(entry: Entry) -> None:
    """Add a solver to the choice; earlier ones are preferred."""
    SOLVERS[entry.name] = entry


register(
    Entry(
        "prox",
        "the objective is one proximal map, which has a closed form",
        _not_closed,
        lambda p, tol: ProximalGradient(p, accelerated=False, check_every=1),
        lambda p: "none: one evaluation",
        lambda p: _variables(p, 3),
        max_iter=10,
    )
)
register(
    Entry(
        "cg",
        "the objective is quadratic: conjugate gradients need the fewest operator applications",
        _not_quadratic,
        lambda p, tol: ConjugateGradient(p),
        lambda p: "exact line search",
        lambda p: _variables(p, 4) + _duals(p),
    )
)
register(
    Entry(
        "coordinate-descent",
        "a loss of a matrix plus a sparse penalty: coordinate descent on working sets",
        _no_coordinates,
        WorkingSet,
        lambda p: "exact minimisation over single coefficients (or groups, by their largest curvature)",
        lambda p: _variables(p, 6) + 4 * _duals(p),
        max_iter=500,
        yields=starts_outside,
    )
)
register(
    Entry(
        "fista",
        "smooth terms plus one proximal map: accelerated proximal gradient",
        _no_smooth_prox,
        lambda p, tol: ProximalGradient(p),
        _gradient_steps,
        lambda p: _variables(p, 6) + 4 * _duals(p),
    )
)
register(
    Entry(
        "lbfgs",
        "all terms are smooth: L-BFGS learns the curvature",
        _not_smooth,
        lambda p, tol: ProximalGradient(p),
        lambda p: "line search of SciPy's L-BFGS-B, 10 pairs of curvature",
        lambda p: _variables(p, 26),
        run=run_lbfgs,
    )
)
register(
    Entry(
        "denoising",
        "total variation denoising has a solver of its own, with several iterations per pass over memory",
        _no_denoising,
        lambda p, tol: Denoising(p),
        lambda p: "accelerated by strong convexity: tau sigma ||D||^2 = 1.3",
        lambda p: _variables(p, 5) + 2 * _duals(p),
    )
)
register(
    Entry(
        "metric-fista",
        "total variation with a data fit whose operator has a known spectrum: a preconditioned method "
        "needs few applications of it",
        _no_tv_form,
        lambda p, tol: MetricFISTA(p, tol=tol),
        lambda p: MetricFISTA(p).describe(),
        lambda p: _variables(p, 26) + 4 * _duals(p),
        max_iter=2_000,
        yields=_spectrum_unknown,
    )
)
register(
    Entry(
        "primal-dual",
        "proximal maps behind linear operators: primal-dual splitting needs no inner loop",
        _no_primal_dual,
        lambda p, tol: PrimalDual(p),
        lambda p: PrimalDual(p).describe(),
        lambda p: _variables(p, 6) + 5 * _duals(p),
    )
)
register(
    Entry(
        "admm",
        "proximal maps behind linear operators, with conjugate gradients inside",
        _no_admm,
        lambda p, tol: ADMM(p, InnerCG()),
        lambda p: "penalty balanced by the residuals",
        lambda p: _variables(p, 7) + 4 * _duals(p),
    )
)
register(
    Entry(
        "linearised-admm",
        "proximal maps behind linear operators, without an inner solver",
        _no_admm,
        lambda p, tol: ADMM(p, Linearised()),
        lambda p: "1/(rho ||K||^2), the penalty rho balanced by the residuals",
        lambda p: _variables(p, 5) + 4 * _duals(p),
    )
)
register(
    Entry(
        "ista",
        "proximal gradient without momentum",
        _no_smooth_prox,
        lambda p, tol: ProximalGradient(p, accelerated=False),
        _gradient_steps,
        lambda p: _variables(p, 6) + 4 * _duals(p),
    )
)

register(
    Entry(
        "quadratic-admm",
        "a norm behind a graph Laplacian: splitting it off alone, with conjugate gradients for the rest, "
        "needs few iterations",
        _no_normal_form,
        lambda p, tol: QuadraticADMM(p),
        lambda p: "penalties balanced by the residuals",
        lambda p: _variables(p, 11) + 4 * _duals(p),
        max_iter=2_000,
    )
)
register(
    Entry(
        "projected-newton",
        "a quadratic data fit plus a smoothed norm of little curvature: Newton steps by conjugate gradients",
        _no_newton_form,
        ProjectedNewton,
        lambda p: "1, halved until the objective falls",
        lambda p: _variables(p, 12) + 3 * _duals(p),
        max_iter=500,
    )
)
register(
    Entry(
        "mm-gks",
        "least squares plus a smoothed L1 norm: majorisation in a generalised Krylov space",
        _no_gks_form,
        lambda p, tol: MMGKS(p),
        lambda p: "none: quadratic majorants are minimised in a space of at most 30 dimensions",
        lambda p: _variables(p, 34) + 31 * _duals(p),
        max_iter=2_000,
    )
)

AUTOMATIC = (
    "prox",
    "cg",
    "lbfgs",
    "coordinate-descent",
    "fista",
    "denoising",
    "metric-fista",
    "projected-newton",
    "quadratic-admm",
    "primal-dual",
)
"""Order in which ``solver="auto"`` tries."""


def choose(problem: Problem, solver: str, tol: float) -> tuple[Plan, Entry]:
    """The plan for a problem and the solver it names.

    Raises
    ------
    ValueError
        If there is no such solver, or it cannot minimise this objective: the reason, and those that can.
    """
    if solver == "auto":
        name = next((name for name in AUTOMATIC if _taken(SOLVERS[name], problem)), "")
        if not name:
            why = "; ".join(f"{other}: {reason}" for other, reason in _reasons(problem).items())
            raise ValueError(f"no solver can minimise {problem.objective}. {why}")
    elif solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}; choose 'auto' or one of {', '.join(SOLVERS)}")
    elif reason := SOLVERS[solver].refuses(problem):
        able = [other for other, why in _reasons(problem).items() if not why]
        others = f"; these can: {', '.join(able)}" if able else ""
        raise ValueError(f"solver {solver!r} cannot minimise {problem.objective}: {reason}{others}")
    else:
        name = solver
    entry = SOLVERS[name]
    return planned(name, solver == "auto", tol, lambda: problem), entry


def planned(name: str, automatic: bool, tol: float, form: Callable[[], Problem]) -> Plan:
    """The plan of a solver that has been chosen for the problem that ``form`` makes."""
    reason = SOLVERS[name].reason if automatic else "asked for by name"
    return Plan(name, reason, tol, form, SOLVERS[name], lambda problem: _rejected(problem, name))


def _taken(entry: Entry, problem: Problem) -> bool:
    return not entry.refuses(problem) and not entry.yields(problem)


def _reasons(problem: Problem) -> dict[str, str]:
    """Why each solver cannot minimise this, ``""`` where it can."""
    return {name: entry.refuses(problem) for name, entry in SOLVERS.items()}


def _rejected(problem: Problem, taken: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (other, reason or f"possible with solver={other!r}; {taken} is preferred")
        for other, reason in _reasons(problem).items()
        if other != taken
    )
