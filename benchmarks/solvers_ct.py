"""Few-view TV reconstruction by other libraries and by plain NumPy: primal-dual methods with fixed steps.

All of them minimise the same objective, with ASTRA's linear projector, in the split
``K = (A, c D)`` with ``c = ||A|| / ||D||`` (without it none gets near the target), and with the steps
``tau = balance / ||K||``, ``sigma = 1 / (balance ||K||)``. Which balance is good depends on the problem.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers_ct import odl_transform
from benchmarks.peers_tv import Enough
from benchmarks.problems import Reference
from benchmarks.report import quiet
from benchmarks.scans import Scan
from benchmarks.timing import Stopwatch
from wellposed.kernels.tv_differences import adjoint_gradient, gradient, project


@dataclass(frozen=True)
class Outcome:
    """Where a run stood when it met its target or was given up."""

    seconds: float
    pairs: float
    error: float


class Watch:
    """Stops a run at its target, or after so many seconds; the clock stands still while it looks."""

    def __init__(self, reference: Reference, target: float, limit: float, every: int = 5):
        self.reference, self.target, self.limit, self.every = reference, target, limit, every
        self.iterations, self.error = 0, math.inf
        self.clock = Stopwatch()

    def __call__(self, x: np.ndarray) -> bool:
        """See an iterate; true to stop."""
        self.iterations += 1
        if self.iterations % self.every:
            return False
        with self.clock:
            self.error = self.reference.error(x)
        return self.error <= self.target or self.clock.seconds > self.limit

    def outcome(self) -> Outcome:
        """One iteration applies the projector once and its adjoint once."""
        return Outcome(self.clock.seconds, self.iterations, self.error)


@dataclass(frozen=True)
class Steps:
    """Scale of the differences, and the two steps."""

    c: float
    tau: float
    sigma: float


def steps(matrix: Any, balance: float) -> Steps:
    """The steps of a balance; the norm of the projector comes from power iteration, outside the timing."""
    v = np.ones(matrix.shape[1], np.float32)
    transpose = matrix.T
    square = 0.0
    for _ in range(20):
        w = transpose @ (matrix @ v)
        square = float(np.linalg.norm(w) / np.linalg.norm(v))
        v = w / np.linalg.norm(w)
    c = math.sqrt(square / 8)
    norm = 1.01 * math.sqrt(square + 8 * c * c)
    return Steps(c, balance / norm, 1 / (balance * norm))


Solver = Callable[[Scan, Any, Steps, Watch], None]
"""Runs on a scan with a matrix (if it wants one) until the watch says stop."""


def numpy_csr(s: Scan, matrix: Any, step: Steps, watch: Watch) -> None:
    f = np.float32
    transpose = matrix.T.tocsr()
    watch.clock = Stopwatch()
    x = np.zeros(s.truth.shape, f)
    bar, b = x, s.b.ravel()
    p, q = np.zeros_like(b), np.zeros((2, *x.shape), f)
    while True:
        p = (p + f(step.sigma) * (matrix @ bar.ravel() - b)) * f(1 / (1 + step.sigma))
        q = project(q + f(step.sigma * step.c) * gradient(bar), f(s.weight / step.c))
        new = x - f(step.tau) * ((transpose @ p).reshape(x.shape) + f(step.c) * adjoint_gradient(q))
        np.maximum(new, 0, out=new)
        bar = 2 * new - x
        x = new
        if watch(x):
            return


def pyproximal(s: Scan, matrix: Any, step: Steps, watch: Watch) -> None:
    import pylops
    import pyproximal as library
    from pylops.medical import CT2D

    beam = s.beam()
    n, m = s.truth.shape
    A = CT2D(
        (n, m),
        beam.detector_spacing,
        beam.n_detectors,
        beam.angles,
        engine="cpu",
        proj_geom_type="parallel",
        projector_type="linear",
    )
    D = pylops.Gradient((n, m), kind="forward", edge=False, dtype=np.float32)
    K = pylops.VStack([A, step.c * D], dtype=np.float32)
    fit = library.VStack(
        [library.L2(b=s.b.ravel()), library.L21(ndim=2, sigma=s.weight / step.c)], nn=[s.b.size, 2 * n * m]
    )

    def callback(x: np.ndarray) -> None:
        if watch(x.reshape(n, m)):
            raise Enough

    watch.clock = Stopwatch()
    start = np.zeros(n * m, np.float32)
    with contextlib.suppress(Enough), quiet():
        library.optimization.primaldual.PrimalDual(
            library.Box(lower=0.0),
            fit,
            K,
            start,
            step.tau,
            step.sigma,
            niter=10**6,
            callback=callback,
            gfirst=True,
        )


def odl(s: Scan, matrix: Any, step: Steps, watch: Watch) -> None:
    import odl as library

    with quiet():
        A = odl_transform(s.beam())
    D = library.Gradient(A.domain, method="forward", pad_mode="symmetric")
    K = library.BroadcastOperator(A, step.c * D)
    functionals = library.functionals
    data = A.range.element(np.ascontiguousarray(s.b[::-1]))
    fit = 0.5 * functionals.L2NormSquared(A.range).translated(data)
    tv = (s.weight / step.c) * functionals.GroupL1Norm(D.range, 2)
    bounds = functionals.IndicatorNonnegativity(A.domain)

    def callback(x: Any) -> None:
        if watch(np.asarray(x.asarray()).T):
            raise Enough

    watch.clock = Stopwatch()
    x = A.domain.zero()
    with contextlib.suppress(Enough), quiet():
        library.solvers.pdhg(
            x, bounds, functionals.SeparableSum(fit, tv), K, 10**6, step.tau, step.sigma, callback=callback
        )


SOLVERS: dict[str, tuple[Solver, tuple[str, ...]]] = {
    "NumPy PDHG, CSR matrix": (numpy_csr, ("astra",)),
    "PyProximal + PyLops/ASTRA": (pyproximal, ("astra", "pylops", "pyproximal")),
    "ODL + ASTRA": (odl, ("astra", "odl")),
}
"""What runs, and the modules that it needs."""


def attempt(
    solver: Solver, s: Scan, matrix: Any, balance: float, reference: Reference, target: float, limit: float
) -> Outcome:
    """Run a solver with one balance until it meets the target, or for ``limit`` seconds."""
    watch = Watch(reference, target, limit)
    solver(s, matrix, steps(matrix, balance), watch)
    return watch.outcome()
