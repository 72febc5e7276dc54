r"""Inverse optimal transport with an l1 penalty: when the support of the cost is found.

F. Andrade, G. Peyre and C. Poon, Sparsistency for inverse optimal transport, ICLR 2024, arXiv 2310.05461.
Standard normal points on the nodes of a graph, whose affinity is ``delta I`` plus the graph's Laplacian. The
paper has figures and no tables; the numbers claimed here follow from its formulas. Positions are wrong where
an entry above 1e-6 should be zero, or the other way round.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import wellposed as wp
from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPS = (0.01, 0.1, 1.0, 10.0, 100.0)
CERTIFICATES = {0.1: (2.374, 2.138, 1.147, 0.124, 0.002), 1.0: (0.909, 0.898, 0.775, 0.149, 0.002)}
"""The largest entry off the support for each ``delta``, ring of 80 nodes."""
GRAPHICAL_LASSO = {0.1: 2.406, 1.0: 0.910}
SHARES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""Weights of the penalty over the one that gives zero."""
WRONG = {0.1: (40, 40, 40, 40, 40), 1.0: (40, 40, 40, 0, 40), 10.0: (0, 0, 0, 0, 0)}
SAMPLES = (500, 2000, 8000, 32_000)
GRID = tuple(np.geomspace(0.005, 0.3, 7).tolist())
GRAPHS = ("ring", "grid", "random")


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    nodes: int
    phase_nodes: int
    phase_eps: int
    phase_delta: int
    seeds: int
    rate_samples: tuple[int, ...]
    points: int


SMALL = Size(80, 12, 11, 9, 10, (800, 3200, 12_800, 51_200), 300)
FULL = Size(80, 24, 13, 12, 40, (800, 3200, 12_800, 51_200, 204_800), 1000)


def problem(
    nodes: int, eps: float, delta: float, graph: str = "ring", samples: int = 0, seed: int = 0
) -> Any:
    """Normal points on a graph."""
    return wp.problems.gaussian_inverse_transport(nodes, graph, delta, eps, samples, seed)


def learn(data: Any, lam: float, tol: float = 1e-7) -> np.ndarray:
    """The learned affinity of normal points."""
    result = wp.transport.inverse_gaussian(data.cross, data.cov_x, data.cov_y, eps=data.eps, lam=lam, tol=tol)
    return np.asarray(result.affinity)


def graphical_lasso_certificate(A: np.ndarray) -> float:
    """The largest entry off the support of the certificate of the graphical Lasso."""
    support = A != 0
    i, j = np.nonzero(support)
    S = np.linalg.inv(A)
    weights = np.linalg.solve(S[np.ix_(i, i)] * S[np.ix_(j, j)], np.sign(A[i, j]))
    spread = np.zeros_like(A)
    spread[i, j] = weights
    return float(np.abs((S @ spread @ S)[~support]).max())


def certificates(size: Size) -> tuple[dict[str, Any], Iterator[Claim]]:
    """How the certificate depends on the width of the entropy, and on the distance of nodes."""
    found, profiles = {}, {}
    for delta in CERTIFICATES:
        ring = problem(size.nodes, 1.0, delta)
        all_z = [wp.transport.gaussian_sparsistency(ring.affinity, eps=eps) for eps in EPS]
        found[delta] = [c.largest for c in all_z]
        profiles[delta] = [np.abs(c.z[0, : size.nodes // 2]).tolist() for c in all_z]
    limits = {delta: graphical_lasso_certificate(problem(size.nodes, 1.0, delta).affinity) for delta in found}

    def claims() -> Iterator[Claim]:
        for delta, values in found.items():
            name = f"ring of {size.nodes} nodes, delta = {delta:g}"
            error = max(abs(v - c) for v, c in zip(values, CERTIFICATES[delta], strict=True))
            shown = " ".join(f"{v:.3f}" for v in values)
            yield at_most(
                f"error of the certificates, {name}", error, 0.005, f"eps = 0.01, 0.1, 1, 10, 100: {shown}"
            )
            yield at_most(
                f"error of the certificate of the graphical Lasso, {name}",
                abs(limits[delta] - GRAPHICAL_LASSO[delta]),
                0.005,
            )
            falls = all(a > b for a, b in itertools.pairwise(values))
            yield Claim(f"certificate as eps grows, {name}", "falls", shown, falls)

    return {"certificates": found, "profiles": profiles}, claims()


def population(nodes: int = 20) -> tuple[dict[float, list[int]], Iterator[Claim]]:
    """Wrong positions from the exact coupling, along weights of the penalty."""
    wrong = {}
    for eps in WRONG:
        data = problem(nodes, eps, 0.1)
        top = float(np.abs(data.cross).max())
        wrong[eps] = [data.wrong_positions(learn(data, share * top, 1e-8)) for share in SHARES]
    return wrong, (
        Claim(
            f"wrong positions from the exact coupling, ring of {nodes}, eps = {eps:g}",
            " ".join(map(str, WRONG[eps])),
            " ".join(map(str, wrong[eps])),
            tuple(wrong[eps]) == WRONG[eps],
            "lam over the largest moment: 0.001, 0.01, 0.03, 0.1, 0.3.",
        )
        for eps in wrong
    )


def first_order() -> Claim:
    """How the error of the first-order formula for small penalties falls."""
    data = problem(12, 10.0, 0.1)
    A = data.affinity
    chosen = np.flatnonzero(A)
    # The certificate's derivatives: differences of the coupling along each entry of the support.
    h = 1e-4
    H = np.empty((len(chosen), len(chosen)))
    for row, k in enumerate(chosen):
        E = np.zeros(A.size)
        E[k] = h
        up, down = (wp.transport.gaussian_coupling(A + s * E.reshape(A.shape), eps=10.0) for s in (1, -1))
        H[row] = (up - down).reshape(-1)[chosen] / (2 * h)
    step = np.linalg.solve(H, np.sign(A.reshape(-1)[chosen]))
    errors = []
    for lam in (4e-3, 1e-3):
        moved = (A - learn(data, lam, 1e-11)).reshape(-1)[chosen]
        errors.append(float(np.abs(moved - lam * step).max()))
    order = math.log(errors[0] / errors[1]) / math.log(4)
    return at_least("order in lam of the error of A - lam inverse(H) sign on the support", order, 1.8)


def samples(seed: int, nodes: int = 20) -> tuple[list[int], Iterator[Claim]]:
    """The least number of wrong positions over a grid of weights, from more and more samples."""
    least = []
    for count in SAMPLES:
        data = problem(nodes, 10.0, 0.1, samples=count, seed=seed)
        least.append(min(data.wrong_positions(learn(data, lam)) for lam in GRID))
    name = f"least wrong positions over seven lam, ring of {nodes}, eps = 10"
    return least, iter(
        (
            at_least(f"{name}, {SAMPLES[0]} samples", least[0], 20),
            at_most(f"{name}, {SAMPLES[2]} samples", least[2], 0),
            at_most(f"{name}, {SAMPLES[3]} samples", least[3], 0),
        )
    )


def rate(size: Size, seed: int) -> tuple[list[float], list[Claim]]:
    """How the error falls with the number of samples."""
    A, eps = np.eye(5), 5.0
    A[0, 3] = 0.5
    S = wp.transport.gaussian_coupling(A, eps=eps)
    factor = np.linalg.cholesky(np.block([[np.eye(5), S], [S.T, np.eye(5)]]))
    errors, found = [], []
    for count in size.rate_samples:
        here = []
        for s in range(size.seeds):
            drawn = np.random.default_rng([seed, s, count]).standard_normal((count, 10)) @ factor.T
            C = np.cov(drawn, rowvar=False, bias=True)
            lam = 2 * math.sqrt(math.log(25) / count)
            learned = wp.transport.inverse_gaussian(
                C[:5, 5:], C[:5, :5], C[5:, 5:], eps=eps, lam=lam
            ).affinity
            here.append(float(np.abs(learned - A).max()))
            if count >= 3200:
                found.append(bool(np.array_equal(np.abs(learned) > 1e-6, A != 0)))
        errors.append(float(np.mean(here)))
    slope = float(np.polyfit(np.log(size.rate_samples), np.log(errors), 1)[0])
    return errors, [
        Claim(
            "slope of the error over the number of samples (5 x 5, eps = 5)",
            "-0.6 to -0.4",
            f"{slope:.3f}",
            -0.6 <= slope <= -0.4,
        ),
        at_least("share of the runs from 3200 samples that find the support", float(np.mean(found)), 1.0),
    ]


def limits(seed: int) -> Iterator[Claim]:
    """The Lasso for wide and the graphical Lasso for narrow entropies, both by scikit-learn."""
    from sklearn.covariance import graphical_lasso
    from sklearn.linear_model import Lasso

    rng = np.random.default_rng(seed)
    A = rng.normal(size=(5, 4)) * (rng.random((5, 4)) < 0.5)
    A[0, 0] = 1.0
    roots = [rng.normal(size=(k, k)) / math.sqrt(k) + 0.5 * np.eye(k) for k in A.shape]
    Sa, Sb = (r.T @ r for r in roots)
    design = np.kron(*roots)
    model = Lasso(alpha=0.05 / A.size, fit_intercept=False, tol=1e-14, max_iter=10**6)
    fitted = model.fit(design, design @ A.reshape(-1)).coef_.reshape(A.shape)
    wide, support = [], A != 0
    C = np.kron(Sa, Sb)[:, support.reshape(-1)]
    lasso_z = C @ np.linalg.solve(C[support.reshape(-1)], np.sign(A[support]))
    wide_z = []
    for eps in (10.0, 100.0, 1000.0):
        cross = wp.transport.gaussian_coupling(A, Sa, Sb, eps=eps)
        found = wp.transport.inverse_gaussian(cross, Sa, Sb, eps=eps, lam=0.05 / eps, tol=1e-8)
        wide.append(float(np.abs(found.affinity - fitted).max()))
        z = wp.transport.gaussian_sparsistency(A, Sa, Sb, eps=eps).z
        wide_z.append(float(np.abs(z.reshape(-1) - lasso_z).max()))
    note = "eps = 10, 100, 1000: "
    order = math.log10(wide_z[1] / wide_z[2])
    shown = note + " ".join(f"{v:.1e}" for v in wide_z)
    yield at_least("order in 1/eps at which the certificate nears that of the Lasso", order, 1.9, shown)
    shown = note + " ".join(f"{v:.1e}" for v in wide)
    yield at_most("distance from scikit-learn's Lasso, eps = 1000", wide[-1], 1e-3, shown)

    ring, w = problem(10, 1.0, 0.5).affinity, 0.2
    # scikit-learn leaves the diagonal free; w more on it penalises it, as its entries are positive.
    penalised = np.linalg.inv(ring) + w * np.eye(10)
    precision = graphical_lasso(penalised, w, tol=1e-10, enet_tol=1e-10, max_iter=1000)[1]
    target, narrow, narrow_z = graphical_lasso_certificate(ring), [], []
    for eps in (0.1, 0.01, 0.001):
        cross = wp.transport.gaussian_coupling(ring, eps=eps)
        found = wp.transport.inverse_gaussian(cross, eps=eps, lam=0.5 * w * eps)
        narrow.append(float(np.abs(found.affinity - precision).max()))
        narrow_z.append(abs(wp.transport.gaussian_sparsistency(ring, eps=eps).largest - target))
    note = "eps = 0.1, 0.01, 0.001: "
    order = math.log10(narrow_z[1] / narrow_z[2])
    shown = note + " ".join(f"{v:.1e}" for v in narrow_z)
    yield at_least(
        "order in eps at which the certificate nears that of the graphical Lasso", order, 0.9, shown
    )
    shown = note + " ".join(f"{v:.1e}" for v in narrow)
    yield at_most("distance from scikit-learn's graphical Lasso, eps = 0.001", narrow[-1], 5e-3, shown)


def phases(size: Size, seed: int) -> tuple[dict[str, Any], Claim]:
    """The certificate, and wrong positions for a small penalty, over widths and graphs."""
    eps_axis = np.geomspace(0.1, 30, size.phase_eps)
    delta_axis = np.geomspace(0.05, 5, size.phase_delta)
    certified = np.empty((len(GRAPHS), len(delta_axis), len(eps_axis)))
    wrong = np.empty(certified.shape, dtype=int)
    for place in np.ndindex(certified.shape):
        graph, delta, eps = GRAPHS[place[0]], float(delta_axis[place[1]]), float(eps_axis[place[2]])
        data = problem(size.phase_nodes, eps, delta, graph, seed=seed)
        certified[place] = wp.transport.gaussian_sparsistency(data.affinity, eps=eps).largest
        lam = 1e-4 * float(np.abs(data.cross).max())
        wrong[place] = data.wrong_positions(learn(data, lam, 1e-8), 1e-7)
    clear = np.abs(certified - 1) > 0.02
    agree = (certified < 1) == (wrong == 0)
    count = f"{int((agree & clear).sum())} of {int(clear.sum())}"
    claim = Claim(
        "the support is found from the exact coupling if the certificate is below 1, and not if it is above",
        "each problem",
        count,
        bool(agree[clear].all()),
        f"Rings, grids and random graphs; lam 1e-4 of the largest moment; {int((~clear).sum())} problems "
        "with certificates from 0.98 to 1.02 are left out.",
    )
    axes = {"eps": eps_axis.tolist(), "delta": delta_axis.tolist()}
    return {**axes, "certificate": certified.tolist(), "wrong": wrong.tolist()}, claim


def points(size: Size, seed: int) -> tuple[dict[str, float], list[Claim]]:
    """Samples that are not normal: uniform points, coupled by entropic transport."""
    rng = np.random.default_rng(seed)
    A = np.array([[2.0, 0.0, 0.0], [0.0, -1.5, 0.0], [0.0, 1.0, 0.0]])
    n, eps = size.points, 0.5
    x, y = rng.uniform(-1, 1, (2, n, 3))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    plan = wp.transport.entropic(-(x @ A @ y.T), eps=eps, tol=1e-12).plan

    def loss(B: np.ndarray) -> float:
        result = wp.transport.entropic(-(x @ B @ y.T), eps=eps, tol=1e-12)
        return -float(result.f.mean() + result.g.mean()) - float(np.vdot(B, x.T @ plan @ y))

    B, D = rng.normal(size=(2, 3, 3))
    moments = x.T @ wp.transport.entropic(-(x @ B @ y.T), eps=eps, tol=1e-12).plan @ y
    slope = (loss(B + 1e-4 * D) - loss(B - 1e-4 * D)) / 2e-4
    error = abs(slope - float(np.vdot(moments - x.T @ plan @ y, D)))
    line = [loss(B + t * D) for t in np.linspace(-2, 2, 9)]
    bends = float(np.diff(line, 2).min())
    result = wp.transport.inverse(x, y, plan, eps=eps, lam=1e-3)
    certificate = wp.transport.sparsistency(A, x, y, eps=eps)
    found = bool(np.array_equal(np.abs(result.affinity) > 1e-6, A != 0))
    # A coupling known from pairs alone: the marginals are those of the drawn pairs.
    drawn = rng.choice(n * n, size=n, p=plan.reshape(-1) / plan.sum())
    pairs = wp.transport.inverse(x[drawn // n], y[drawn % n], eps=eps, lam=0.04)
    numbers = {
        "certificate": certificate.largest,
        "seconds": result.seconds,
        "error from pairs": float(np.abs(pairs.affinity - A).max()),
        "wrong positions from pairs": int(np.sum((np.abs(pairs.affinity) > 1e-6) != (A != 0))),
    }
    name = f"{n} uniform points"
    gaps = max(result.certificate.relative, pairs.certificate.relative)
    return numbers, [
        at_most(f"error of the gradient against differences of the loss, {name}", error, 1e-5),
        at_least(f"least second difference of the loss along a line, {name}", bends, 0.0),
        Claim(
            f"support from the coupling, {name}, certificate {certificate.largest:.2f}",
            "found",
            "found" if found else "not found",
            found and certificate.holds,
        ),
        at_most(f"largest relative duality gap, {name}, coupling and pairs", gaps, 1e-6),
    ]


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int

    Returns
    -------
    Report
    """
    certified, first = certificates(size)
    wrong, exact = population()
    least, sampled = samples(seed)
    errors, fitted = rate(size, seed)
    phase, decided = phases(size, seed)
    other, general = points(size, seed)
    claims = (*first, *exact, first_order(), decided, *sampled, *fitted, *limits(seed), *general)
    numbers = {
        "certificates": {str(k): v for k, v in certified["certificates"].items()},
        "wrong positions": {str(k): v for k, v in wrong.items()},
        "least wrong positions": dict(zip(map(str, SAMPLES), least, strict=True)),
        "errors": dict(zip(map(str, size.rate_samples), errors, strict=True)),
        "phases": phase,
        "uniform points": other,
    }
    return Report(claims, draw(size, certified["profiles"], wrong, phase, errors), asdict(size), numbers)


def draw(
    size: Size,
    profiles: dict[float, list[list[float]]],
    wrong: dict[float, list[int]],
    phase: dict[str, Any],
    errors: list[float],
) -> Figure:
    """Certificates against distance, wrong positions, the phases of three graphs, and the rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.2), layout="constrained")
    axes = figure.subplots(2, 3).reshape(-1)
    for eps, z in zip(EPS[:4], profiles[0.1], strict=False):
        axes[0].plot(z[:12], "o-", label=f"eps = {eps:g}")
    axes[0].axhline(1, color="k", lw=0.8)
    axes[0].set(xlabel="distance on the ring (support: 0, 1)", ylabel="|z|", title="certificate, delta = 0.1")
    axes[0].legend()
    for eps, counts in wrong.items():
        axes[1].semilogx(SHARES, counts, "o-", label=f"eps = {eps:g}")
    axes[1].set(xlabel="lam / lam at which all is zero", ylabel="wrong positions", title="exact coupling")
    axes[1].legend()
    axes[2].loglog(size.rate_samples, errors, "o-")
    first = (size.rate_samples[0], errors[0])
    axes[2].loglog(
        size.rate_samples, [first[1] * (n / first[0]) ** -0.5 for n in size.rate_samples], "k--", lw=0.8
    )
    axes[2].set(xlabel="samples", ylabel="largest error", title="rate; dashed: slope -1/2")
    for ax, graph, z, counts in zip(axes[3:], GRAPHS, phase["certificate"], phase["wrong"], strict=True):
        share = np.asarray(counts) > 0
        ax.pcolormesh(phase["eps"], phase["delta"], share, cmap="Greys", vmin=0, vmax=2, shading="nearest")
        if np.min(z) < 1 < np.max(z):
            ax.contour(phase["eps"], phase["delta"], z, levels=[1.0], colors="tab:red")
        ax.set(
            xscale="log", yscale="log", xlabel="eps", ylabel="delta", title=f"{graph}; grey: wrong support"
        )
    figure.suptitle("red: certificate = 1, which is to divide the grey from the white")
    return figure


EXPERIMENT = Experiment(
    "Sparse inverse optimal transport",
    "Andrade, Peyre, Poon, ICLR 2024, arXiv 2310.05461",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
