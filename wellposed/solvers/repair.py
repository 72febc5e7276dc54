r"""Finite dual bounds where the conjugate of the simple part is infinite.

For a data fit plus total variation (`tv_form`) the dual constraint
:math:`A^* p + D^* q + m = 0` with ``m`` in the domain of :math:`G^*` can be met exactly, at no cost
in applications of ``A``:

1. ``p`` moves along ``A 1`` so that the means agree: :math:`D^* q` has mean zero;
2. ``q`` takes up the rest by a Poisson equation, which the cosine transform solves exactly:
   :math:`q \leftarrow q - D (D^* D)^+ (A^* p + D^* q + m)`;
3. all of it is scaled by the largest ``s <= 1`` that brings ``q`` back into its balls.

The bound loses :math:`(1 - s)` of the dual value, so before that ``q`` is brought nearer to its balls
by Douglas-Rachford steps between them and the affine set of (2). All of this runs in double precision.

For a data fit plus a norm behind a graph Laplacian see `normal_repair`, behind another matrix `edge_repair`,
and for coefficients without a penalty `frame_repair`.

For a constraint ``x >= 0`` and a data fit :math:`\tfrac12 \|A x - b\|^2` with entries of ``A`` at
least 0, any minimiser has :math:`c^T x^* \le M` with ``c`` the column sums and
:math:`M = 1^T b + \sqrt{2 m F(x)}`, which bounds the conjugate from above by
:math:`M \max_j (w_j)_+ / c_j`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.affine import AffineConstraint
from wellposed.functionals.calculus import Zero, peel
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.indicators import NonNegative
from wellposed.operators._fft import filter_cosines
from wellposed.operators.calculus import laplacian_symbol
from wellposed.solvers import frame_repair
from wellposed.solvers.edge_repair import EdgeForm, edge_form, onto_constraint
from wellposed.solvers.normal_repair import (
    ALMOST,
    BEST,
    CHUNK,
    FIRST_ACCURACY,
    FIRST_STEPS,
    MAX_STEPS,
    REST,
    SHARE,
    Correction,
    NormalForm,
    normal_form,
)
from wellposed.solvers.problem import Problem, Term
from wellposed.solvers.tv_form import TVForm, tv_form

POLISH = ((0.95, 10), (0.99, 20), (math.inf, 40))
"""Douglas-Rachford steps: few while the scale is below the first number of a pair, more near the end."""

GOOD = 1 - 1e-5
"""Scale at which there is nothing left to gain."""

REACH = 100.0
"""Factor by which polishing may be hoped to shrink a gap."""

STIFF = 1e3
"""How far a step along a residual may take an image, over its length, where constraints are told active."""

FAR, HOPELESS = 30.0, 0.1
"""A gap so many times the one wanted, and above this share of the objective, is not worth many steps."""

FEASIBLE = 1e-6
"""A residual within this share of its length of being feasible is taken as it is."""

SPREAD = 0.6
"""The balls aimed at are larger than those wanted by this share of the present excess."""


def is_known(problem: Problem) -> bool:
    """Whether dual points of this problem can be made feasible, so that there is a gap at every point."""
    G = problem.simple.traits
    if not (G.indicator or G.homogeneous) or not math.isinf(problem.simple._conjugate(problem.zeros() + 1)):
        return True
    if not G.indicator and not isinstance(problem.simple, Zero):
        return True
    if problem.lifted is not None:
        return any(t.K is problem.image_part and t.f.traits.quadratic for t in problem.terms)
    if isinstance(tv_form(problem), TVForm) or _isometry(problem) is not None or not problem.terms:
        return True
    if normal_form(problem) is not None or edge_form(problem) is not None:
        return True
    if frame_repair.penalised(problem.simple, problem.like) is not None:
        return True
    bounded = isinstance(problem.simple, NonNegative) and all(_lowest(t) is not None for t in problem.terms)
    return bounded and any(_holds_mass(t) for t in problem.terms)


def repaired_bound(
    problem: Problem, objective: float, y: tuple[Array, ...], w: Array, wanted: float, x: Array | None = None
) -> tuple[float, str, tuple[Array, ...]]:
    """A lower bound of the minimum from an infeasible dual point, how it was made, and the feasible point.

    The primal point ``x`` may help to find it.
    """
    if problem.lifted is not None:
        return _lifted_bound(problem, y)
    form = tv_form(problem)
    if isinstance(form, TVForm):
        p, q = y[form.data_index], y[form.tv_index]
        repair = Repair(problem, form)
        repaired = repair.run(p, q, problem.simple.project_dual(w), objective, wanted)
        if math.isfinite(repaired.bound) or x is None or (edges := edge_form(problem)) is None:
            return repaired.bound, repaired.note, repair.in_order(repaired)
        return _edge_bound(problem, edges, y, w, x, wanted)
    if (normal := normal_form(problem)) is not None:
        return _normal_bound(problem, normal, objective, y, wanted, x)
    if (tight := _isometry(problem)) is not None:
        return _isometry_bound(problem, y, problem.simple.project_dual(w), tight)
    if (freed := frame_repair.without_free_entries(problem, y, x)) is not None:
        return _freed_bound(problem, *freed)
    if x is not None and (edges := edge_form(problem)) is not None:
        return _edge_bound(problem, edges, y, w, x, wanted)
    mass = _mass_bound(problem, objective, y, w)
    if mass is not None:
        return mass, "minimisers have bounded mass, since A and x are nonnegative", y
    return -math.inf, "no repair is known for the dual constraint of this objective", y


# --- data fit plus total variation -----------------------------------------------------------------


@dataclass(frozen=True)
class Repaired:
    """A feasible dual point and the bound that it proves."""

    bound: float
    p: Array
    q: Array
    m: Array
    scale: float

    @property
    def note(self) -> str:
        """How it was made."""
        return f"dual point made feasible by a Poisson equation, scaled by {self.scale:.6g}"


@dataclass(frozen=True)
class Repair:
    """Makes dual points of a problem in `tv_form` feasible. See the module."""

    problem: Problem
    form: TVForm

    @cached_property
    def _inverse_symbol(self) -> Array:
        symbol = laplacian_symbol(self.problem.shape, self.form.gradient.axes)
        symbol[(0,) * symbol.ndim] = 1.0
        inverse = 1 / symbol
        inverse[(0,) * symbol.ndim] = 0.0
        return inverse

    @cached_property
    def _constant(self) -> tuple[Array, Array]:
        """``A 1`` and ``A* A 1``."""
        image = self.form.data.forward(np.ones(self.problem.shape))
        return image, self.form.data.backward(image)

    def run(self, p: Array, q: Array, m: Array, objective: float, wanted: float) -> Repaired:
        """The best feasible point near ``(p, q, m)``, polished where that may give the gap ``wanted``."""
        p, q, m = (v.astype(np.result_type(v, np.float64)) for v in (p, q, m))
        p, rest = self._balance_means(p, m)
        f = self.form.tv.f
        first = self._on_constraint(q, rest)
        scale = f.dual_scale(first)
        s, bound = self._value(p, first, m, scale)
        if scale < GOOD and wanted < objective - bound <= REACH * wanted:
            polished = self._on_constraint(self._polish(q, rest, scale), rest)
            if f.dual_scale(polished) > scale:
                first, scale = polished, f.dual_scale(polished)
                s, bound = self._value(p, first, m, scale)
        return Repaired(bound, s * p, s * first, s * m, scale)

    def _value(self, p: Array, q: Array, m: Array, limit: float) -> tuple[float, float]:
        """The scale up to ``limit`` at which ``(p, q, m)`` has the largest dual value, and that value."""
        return best_scale(self.form.data.f, self.form.tv.f, self.problem.simple, (p, q, m), limit)

    def _polish(self, q: Array, rest: Array, scale: float) -> Array:
        """The field nearest to its balls among those that Douglas-Rachford steps from ``q`` come by."""
        radius = self.form.plane_radius(np.float64)
        steps = next(count for below, count in POLISH if scale < below)
        best, best_scale, auxiliary = q, scale, q
        for _ in range(steps):
            q, now = self._affine(auxiliary, rest, radius)
            if now > best_scale:
                best, best_scale = q, now
            if best_scale >= GOOD:
                break
            enlarge = 1 + SPREAD * (1 / best_scale - 1)
            auxiliary = self._reflected(q, auxiliary, enlarge, radius)
        return best

    def _affine(self, y: Array, rest: Array, radius: Array | None) -> tuple[Array, float]:
        """The point nearest to ``y`` with ``D* q = -rest``, and the scale that takes it into its balls."""
        if radius is None:
            q = self._on_constraint(y, rest)
            return q, self.form.tv.f.dual_scale(q)
        from wellposed.kernels import dual_repair, split_tv

        residual, q, worst = np.empty_like(rest), np.empty_like(y), np.empty(len(rest))
        split_tv.gather(rest, y, np.zeros_like(rest), residual)
        dual_repair.subtract_gradient(y, self._potential(residual), radius, q, worst, self.form.isotropic)
        return q, 1 / max(float(worst.max()), 1.0)

    def _reflected(self, q: Array, y: Array, enlarge: float, radius: Array | None) -> Array:
        """The Douglas-Rachford step ``y + P(2 q - y) - q`` for balls larger by ``enlarge``."""
        if radius is None:
            return y + enlarge * self.form.tv.f.project_dual((2 * q - y) / enlarge) - q
        from wellposed.kernels import dual_repair

        new = y.copy()
        dual_repair.reflect(q, radius, new, enlarge, self.form.isotropic)
        return new

    def in_order(self, repaired: Repaired) -> tuple[Array, ...]:
        """The dual variables in the order of the problem's terms, in its dtype."""
        real = self.problem.like.dtype
        p = repaired.p.astype(np.result_type(real, np.complex64) if np.iscomplexobj(repaired.p) else real)
        return self.form.in_order(p, repaired.q.astype(real))

    def _balance_means(self, p: Array, m: Array) -> tuple[Array, Array]:
        """``p`` moved so that ``A* p + m`` has mean zero, and that sum."""
        image, pulled = self._constant
        rest = self.form.data.backward(p) + m
        shift = -float(rest.sum()) / float(pulled.sum())
        return p + shift * image, rest + shift * pulled

    def _on_constraint(self, q: Array, rest: Array) -> Array:
        """The point nearest to ``q`` with ``D* q = -rest``."""
        D = self.form.gradient
        return q - D(self._potential(rest + D.apply_adjoint(q)))

    def _potential(self, residual: Array) -> Array:
        """``(D* D)^+ residual``."""
        return filter_cosines(residual, self._inverse_symbol)


def best_scale(
    data: Functional, norm: Functional, simple: Functional, point: tuple[Array, Array, Array], limit: float
) -> tuple[float, float]:
    """The scale up to ``limit`` at which a dual point on the constraint has the largest value; that value."""
    functionals = data, norm, simple

    def value(scale: float) -> float:
        parts = [f._conjugate(scale * v) for f, v in zip(functionals, point, strict=True)]
        return -math.inf if math.inf in parts else -math.fsum(parts)

    candidates = [limit, 0.999 * limit, 0.99 * limit]
    if data.traits.quadratic and norm.traits.homogeneous:
        # A parabola through 0 where the conjugate of G is homogeneous; else only a good guess.
        end, half = value(limit), value(0.5 * limit)
        bend = 4 * half - 2 * end
        candidates = [
            limit,
            min(max(limit * (4 * half - end) / (2 * bend), 0.0), limit) if bend > 0 else limit,
        ]
    elif math.isfinite(value(limit)):
        from scipy.optimize import minimize_scalar

        # The dual value is concave along the ray.
        found = minimize_scalar(lambda s: -value(s), bounds=(0.0, limit), options={"xatol": 1e-9})
        candidates.append(float(found.x))
    return max(((s, value(s)) for s in candidates), key=lambda pair: pair[1])


# --- a norm behind a graph Laplacian ---------------------------------------------------------------


def _normal_bound(
    problem: Problem, form: NormalForm, objective: float, y: tuple[Array, ...], wanted: float, x: Array | None
) -> tuple[float, str, tuple[Array, ...]]:
    """The point is moved onto the constraint by a linear system, then scaled."""
    xp = arrays.namespace(problem.like)
    p, q = (xp.astype(v, xp.float64) for v in form.in_order(*y))
    m = _normal_of(problem.simple, -(form.data.backward(p) + form.prior.backward(q)), x)
    correction = Correction(problem, form, p, q, m, x)
    # A residual r costs at most ||r|| ||x*|| for a minimiser x*, whose norm is estimated: the note says so.
    length = correction.size * max(form.first_length(problem), 0.0 if x is None else arrays.norm(x))

    def value() -> tuple[float, float, Array, Array]:
        p, q = correction.point()
        f = form.prior.f
        scale, bound = best_scale(form.data.f, f, problem.simple, (p, q, m), f.dual_scale(q))
        return scale, bound - scale * correction.left * length, p, q

    scale, bound, p, q = value()
    if correction.left * length <= ALMOST * (objective - bound):
        # A point that was made feasible before, as by a solver whose result is verified.
        steps = 0
    else:
        steps = MAX_STEPS
        correction.advance(FIRST_STEPS, FIRST_ACCURACY)
        scale, bound, p, q = value()
    if objective - bound - correction.left * length > max(FAR * wanted, HOPELESS * objective):
        zero = tuple(0 * v for v in y)
        parts = [-t.f._conjugate(v) for t, v in zip(problem.terms, zero, strict=True)]
        return (
            math.fsum(parts) - problem.simple._conjugate(0 * m),
            "of the dual point 0: others are far",
            zero,
        )
    for _ in range(steps // CHUNK):
        rest = correction.left * length
        if objective - bound <= wanted and rest <= REST * wanted:
            break
        enough = SHARE * max(wanted, objective - bound - rest) / length if length > 0 else 1.0
        if correction.left <= max(enough, BEST) or not correction.advance(CHUNK, max(enough, BEST)):
            break
        scale, bound, p, q = value()
    p, q = (xp.astype(scale * v, problem.like.dtype) for v in (p, q))
    note = (
        f"dual point made feasible by conjugate gradients (to {correction.left:.1g} of its residual), "
        f"scaled by {scale:.6g}"
    )
    if (rest := scale * correction.left * length) > 0.0:
        note += f"; the bound is less {rest:.2g} for the rest, an estimate: it assumes minimisers of norm "
        note += f"at most {length:.3g}"
    return bound, note, form.in_order(p, q)


def _normal_of(G: Functional, w: Array, x: Array | None) -> Array:
    """A point near ``w`` in the domain of the conjugate; if ``w`` is far, normal to a set at ``x``."""
    nearest, size = G.project_dual(w), arrays.norm(w)
    far = arrays.norm(w - nearest) > FEASIBLE * size
    if x is None or not G.traits.indicator or not far or arrays.norm(x) == 0.0:
        return nearest
    c = STIFF * size / arrays.norm(x)
    v = arrays.namespace(w).astype(x, w.dtype) + w / c
    return G.project_dual(c * (v - G.prox(v)))


# --- auxiliary fields -----------------------------------------------------------------------------


def _lifted_bound(problem: Problem, y: tuple[Array, ...]) -> tuple[float, str, tuple[Array, ...]]:
    """For a term with auxiliary fields and a data fit on the image itself, whose dual takes up the rest."""
    assert problem.lifted is not None
    assert problem.image_part is not None
    lifted, where = problem.lifted
    free = [k for k, t in enumerate(problem.terms) if t.K is problem.image_part and t.f.traits.quadratic]
    if not free:
        return -math.inf, "no repair is known for auxiliary fields with this data fit", y
    dual = list(y)
    for k, balanced in zip(where, lifted.balance(tuple(y[k] for k in where)), strict=True):
        dual[k] = balanced
    total = problem.zeros()
    for t, v in zip(problem.terms, dual, strict=True):
        total = total + t.backward(v)
    dual[free[0]] = dual[free[0]] - problem.image_part(total)
    scale = min(t.f.dual_scale(v) for t, v in zip(problem.terms, dual, strict=True))
    point = tuple(scale * v for v in dual)
    values = [t.f._conjugate(v) for t, v in zip(problem.terms, point, strict=True)]
    if math.inf in values:
        return -math.inf, "the dual point could not be made feasible", y
    return -math.fsum(values), f"dual point balanced on the auxiliary field, scaled by {scale:.6g}", point


# --- a norm behind an isometry ---------------------------------------------------------------------


def _isometry(problem: Problem) -> int | None:
    """The place of a norm behind ``K`` with ``K* K = I``: an orthonormal wavelet transform, or nothing.

    The duals are scaled in the end, under which the domain of the conjugate of ``G`` must be invariant.
    """
    if not (problem.simple.traits.homogeneous or isinstance(problem.simple, AffineConstraint)):
        return None
    places = [
        k
        for k, t in enumerate(problem.terms)
        if t.f.traits.homogeneous and (t.K is None or t.K.isometry) and not t.f.traits.indicator
    ]
    return places[0] if places else None


def _isometry_bound(
    problem: Problem, y: tuple[Array, ...], m: Array, place: int
) -> tuple[float, str, tuple[Array, ...]]:
    """The point is moved onto the constraint (`frame_repair`), then scaled."""
    dual = frame_repair.onto_constraint(problem, y, m, place)
    if dual is None:
        return -math.inf, "the dual point could not be made feasible", y
    scale = min(t.f.dual_scale(v) for t, v in zip(problem.terms, dual, strict=True))
    point = tuple(scale * v for v in dual)
    values = [problem.simple._conjugate(scale * m)]
    values += [t.f._conjugate(v) for t, v in zip(problem.terms, point, strict=True)]
    if math.inf in values:
        return -math.inf, "the dual point could not be made feasible", y
    return -math.fsum(values), f"dual point made feasible through an isometry, scaled by {scale:.6g}", point


def _freed_bound(problem: Problem, y: tuple[Array, ...], w: Array) -> tuple[float, str, tuple[Array, ...]]:
    """The point, whose pull vanishes where the simple part has weight 0, is scaled into its domain."""
    scale = problem.simple.dual_scale(w)
    point = tuple(scale * v for v in y)
    values = [problem.simple._conjugate(scale * w)]
    values += [t.f._conjugate(v) for t, v in zip(problem.terms, point, strict=True)]
    if math.inf in values:
        return -math.inf, "the dual point could not be made feasible", y
    return -math.fsum(values), f"dual point balanced where weights are 0, scaled by {scale:.6g}", point


# --- a norm of differences along edges --------------------------------------------------------------


def _edge_bound(
    problem: Problem, form: EdgeForm, y: tuple[Array, ...], w: Array, x: Array, wanted: float
) -> tuple[float, str, tuple[Array, ...]]:
    """The point is moved onto the constraint (`edge_repair`), then scaled."""
    m = problem.simple.project_dual(w)
    dual = onto_constraint(problem, form, y, m, x, wanted)
    if dual is None and problem.simple.traits.homogeneous:
        # Where loss and norm do not see a constant, as of all classes, no other part can be balanced.
        m = 0.0 * m
        dual = onto_constraint(problem, form, y, m, x, wanted)
    if dual is None:
        return -math.inf, "the dual point could not be made feasible", y
    p, q = form.in_order(*dual)
    limit = min(form.norm.f.dual_scale(q), form.data.f.dual_scale(p))
    scale, bound = best_scale(form.data.f, form.norm.f, problem.simple, (p, q, m), limit)
    point = tuple(scale * v for v in dual)
    return bound, f"dual point made feasible by conjugate gradients, scaled by {scale:.6g}", point


# --- nonnegative data fit ---------------------------------------------------------------------------


def _mass_bound(problem: Problem, objective: float, y: tuple[Array, ...], w: Array) -> float | None:
    if not isinstance(problem.simple, NonNegative) or any(_lowest(t) is None for t in problem.terms):
        return None
    for t in problem.terms:
        if not _holds_mass(t):
            continue
        c, f = peel(t.f)
        assert isinstance(f, LeastSquares)
        xp = arrays.namespace(w)
        columns = t.backward(0 * f.b + 1)
        if bool(xp.any(columns <= 0)):
            continue
        mass = arrays.total(f.b) + math.sqrt(2 * arrays.inner(0 * f.b + 1, 0 * f.b + 1) * objective / c)
        worst = float(xp.max(w / columns))
        values = [s.f._conjugate(v) for s, v in zip(problem.terms, y, strict=True)]
        return -math.fsum(values) - max(mass, 0.0) * max(worst, 0.0)
    return None


def _holds_mass(t: Term) -> bool:
    """Whether a term is a data fit that bounds the mass of what is at least 0."""
    c, f = peel(t.f)
    return isinstance(f, LeastSquares) and f.weights is None and c > 0 and (t.K is None or t.K.nonnegative)


def _lowest(t: Term) -> float | None:
    """A lower bound of a term that is known to exist: norms and distances are at least 0."""
    _, f = peel(t.f)
    return 0.0 if f.traits.homogeneous or f.traits.quadratic or f.traits.indicator else None
