"""Proximal maps of the penalties in nanoseconds per element, against PyProximal and loops with SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

import wellposed as wp
from benchmarks.report import Settings, Table, peer, quiet, ratio
from benchmarks.timing import interleaved
from wellposed.functionals.norms import L21

STEP = 0.5
GROUP = 4
LOOP = 2000
"""Entries (or groups) of a loop with SciPy, which is too slow for more."""

Prox = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Case:
    """A penalty and what it is compared with."""

    own: Prox
    peer: Prox
    peer_name: str
    limit: int | None = None
    """Entries that the peer is given, where not all."""


def run(settings: Settings) -> Iterator[Table]:
    """Proximal maps on one flat array, then gradients of the Cauchy-Schwarz penalties."""
    n = 1 << (14 if settings.quick else 20)
    for dtype in (np.float32, np.float64):
        yield measure(n, dtype, settings)
    yield gradients(n, settings)


def measure(n: int, dtype: Any, settings: Settings) -> Table:
    table = Table(
        f"Proximal maps, {n} entries, {np.dtype(dtype).name}",
        ("penalty", "wellposed", "other", "ns per entry", "ratio", "difference"),
    )
    x = (2 * np.random.default_rng(0).standard_normal(n)).astype(dtype)
    for name, case in cases(n, table).items():
        given = x if case.limit is None else x[: case.limit]

        def theirs(case: Case = case, given: np.ndarray = given) -> Any:
            return case.peer(given)

        def ours(case: Case = case) -> Any:
            return case.own(x)

        with quiet():
            times = interleaved({"own": ours, "peer": theirs}, settings.repeat)
            apart = float(np.abs(np.ravel(ours())[: given.size] - np.ravel(theirs())).max())
        own, other = times["own"].best / x.size, times["peer"].best / given.size
        table.add(
            name,
            f"{1e9 * own:.3g} ns",
            case.peer_name,
            f"{1e9 * other:.3g} ns",
            ratio(other, own),
            f"{apart:.0e}",
        )
    table.note(
        f"Entries of a normal distribution of deviation 2, step {STEP}; groups of {GROUP} neighbours. "
        f"Best of the repeats. Loops run over {LOOP} entries (or groups) only. PyProximal's L0 takes a "
        "threshold, set here to that of the proximal map; NumPy formulas hold for these data, not always."
    )
    return table


def cases(n: int, table: Table) -> dict[str, Case]:
    labels = np.repeat(np.arange(n // GROUP), GROUP)
    found = {
        "Lq(1/2)": Case(prox(wp.Lq(0.5)), each(concave_lq(0.5)), "SciPy brentq loop", LOOP),
        "Lq(2/3)": Case(prox(wp.Lq(2 / 3)), each(concave_lq(2 / 3)), "SciPy brentq loop", LOOP),
        "Lq(0.8)": Case(prox(wp.Lq(0.8)), each(concave_lq(0.8)), "SciPy brentq loop", LOOP),
        "Lq(1.5)": Case(prox(wp.Lq(1.5)), each(convex_lq(1.5)), "SciPy brentq loop", LOOP),
        "MCP": Case(prox(wp.MCP()), each(mcp), "Python loop", LOOP),
        "CEL0": Case(prox(wp.CEL0()), each(cel0), "Python loop", LOOP),
        "ExclusiveL1": Case(prox(wp.ExclusiveL1(labels)), exclusive, "SciPy brentq loop", LOOP * GROUP),
        "GroupPenalty(Lq(1/2))": Case(
            prox(wp.GroupPenalty(wp.Lq(0.5), labels)), group_half, "SciPy brentq loop", LOOP * GROUP
        ),
        "L1MinusL2": Case(prox(wp.L1MinusL2()), l1_minus_l2, "NumPy formula"),
        "SparseEnvelope": Case(prox(wp.SparseEnvelope(n // 10)), envelope(n // 10), "NumPy, SciPy brentq"),
        "ElasticNet": Case(prox(wp.ElasticNet(1.0, 1.0)), elastic_net, "NumPy formula"),
    }
    if (modules := peer(table, "pyproximal")) is not None:
        other: Any = modules[0]
        known = {
            "L1": Case(prox(wp.L1()), theirs(other.L1()), "PyProximal L1"),
            "L0": Case(prox(wp.L0()), theirs(other.L0(2.0)), "PyProximal L0"),
            "SCAD": Case(prox(wp.SCAD()), theirs(other.SCAD(1.0, 3.7)), "PyProximal SCAD"),
            "LogSum": Case(
                prox(wp.LogSum(1.0)),
                theirs(other.Log(math.log(2), 1.0)),
                "PyProximal Log",
            ),
            "L21": Case(
                lambda x: L21().prox(x.reshape(GROUP, -1), STEP), theirs(other.L21(GROUP)), "PyProximal L21"
            ),
            "GroupL2": Case(
                prox(wp.GroupL2(labels)),
                lambda x: other.L21(GROUP).prox(x.reshape(-1, GROUP).T.ravel(), STEP).reshape(GROUP, -1).T,
                "PyProximal L21",
            ),
        }
        found = {**known, **found}
    return found


def prox(f: wp.Functional) -> Prox:
    return lambda x: f.prox(x, STEP)


def theirs(f: Any) -> Prox:
    return lambda x: f.prox(x, STEP)


# --- loops ----------------------------------------------------------------------------------------


def each(shrink: Callable[[float], float]) -> Prox:
    """A loop over the entries."""
    return lambda x: np.array([math.copysign(shrink(abs(v)), v) for v in x.tolist()])


def concave_lq(q: float) -> Callable[[float], float]:
    beta = (2 * STEP * (1 - q)) ** (1 / (2 - q))
    threshold = (2 - q) / (2 * (1 - q)) * beta

    def shrink(size: float) -> float:
        if size <= threshold:
            return 0.0
        return float(optimize.brentq(lambda z: z + STEP * q * z ** (q - 1) - size, beta, size, xtol=1e-14))

    return shrink


def convex_lq(q: float) -> Callable[[float], float]:
    def shrink(size: float) -> float:
        return float(optimize.brentq(lambda z: z + STEP * q * z ** (q - 1) - size, 0.0, size, xtol=1e-14))

    return shrink


def mcp(size: float) -> float:
    """Weight 1, gamma 3, by cases."""
    if size <= STEP:
        return 0.0
    return size if size > 3.0 else (size - STEP) / (1 - STEP / 3.0)


def cel0(size: float) -> float:
    """Norm 1 and weight 1, by cases."""
    bend = math.sqrt(2.0)
    return min(size, max(size - bend * STEP, 0.0) / (1 - STEP))


def exclusive(x: np.ndarray) -> np.ndarray:
    found = np.empty(x.size)
    for k in range(0, x.size, GROUP):
        v = x[k : k + GROUP].astype(float)
        size = np.abs(v)

        def apart(s: float, size: np.ndarray = size) -> float:
            return float(np.maximum(size - STEP * s, 0).sum()) - s

        s = optimize.brentq(apart, 0.0, float(size.sum()), xtol=1e-14)
        found[k : k + GROUP] = np.sign(v) * np.maximum(size - STEP * s, 0)
    return found


def group_half(x: np.ndarray) -> np.ndarray:
    shrink = concave_lq(0.5)
    found = np.empty(x.size)
    for k in range(0, x.size, GROUP):
        v = x[k : k + GROUP].astype(float)
        size = float(np.linalg.norm(v))
        found[k : k + GROUP] = v * (shrink(size) / size)
    return found


# --- arrays ---------------------------------------------------------------------------------------


def l1_minus_l2(x: np.ndarray) -> np.ndarray:
    """The case that the largest entry is above the step."""
    soft = np.sign(x) * np.maximum(np.abs(x) - STEP, 0)
    return soft * (1 + STEP / np.linalg.norm(soft))


def elastic_net(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.maximum(np.abs(x) - STEP, 0) / (1 + STEP)


def envelope(k: int) -> Prox:
    def call(x: np.ndarray) -> np.ndarray:
        c = math.sqrt(STEP) * np.abs(x.astype(float))

        def apart(h: float) -> float:
            return float(np.clip(h * c - STEP, 0, 1).sum()) - k

        h = optimize.brentq(apart, 0.0, (1 + STEP) / c[c > 0].min(), xtol=1e-14, rtol=1e-14)
        u = np.clip(h * c - STEP, 0, 1)
        return x * (u / (u + STEP))

    return call


# --- Cauchy-Schwarz -------------------------------------------------------------------------------


def gradients(n: int, settings: Settings) -> Table:
    """These penalties are smooth: it is their gradient that solvers take."""
    table = Table(
        f"Gradients of Cauchy-Schwarz penalties, {n} entries, float32",
        ("penalty", "wellposed", "NumPy formula", "ratio", "difference"),
    )
    x = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    formulas: dict[str, tuple[wp.Functional, Prox]] = {
        "BinaryPenalty": (wp.BinaryPenalty(), binary),
        "BinaryPenalty, one-sided": (wp.BinaryPenalty(one_sided=True), one_sided),
        "TernaryPenalty": (wp.TernaryPenalty(), ternary),
    }
    for name, (f, formula) in formulas.items():
        times = interleaved(
            {"own": lambda f=f: f.gradient(x), "numpy": lambda formula=formula: formula(x)}, settings.repeat
        )
        g, other = f.gradient(x), formula(x)
        own, theirs = times["own"].best / n, times["numpy"].best / n
        apart = float(np.abs(g - other).max() / np.abs(other).max())
        table.add(name, f"{1e9 * own:.3g} ns", f"{1e9 * theirs:.3g} ns", ratio(theirs, own), f"{apart:.0e}")
    table.note("Difference: relative to the largest entry.")
    return table


def sums(x: np.ndarray, *powers: int) -> list[float]:
    return [float(np.sum(x**p, dtype=np.float64)) for p in powers]


def binary(x: np.ndarray) -> np.ndarray:
    (s2,) = sums(x, 2)
    return 4 * x.size * x**3 - np.float32(4 * s2) * x


def one_sided(x: np.ndarray) -> np.ndarray:
    s2, s3, s4 = sums(x, 2, 3, 4)
    return np.float32(2 * s4) * x + np.float32(4 * s2) * x**3 - np.float32(6 * s3) * x**2


def ternary(x: np.ndarray) -> np.ndarray:
    s2, s4, s6 = sums(x, 2, 4, 6)
    return np.float32(2 * s6) * x + np.float32(6 * s2) * x**5 - np.float32(8 * s4) * x**3
