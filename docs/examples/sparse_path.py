"""The path of the Lasso on gene-like data, and which of its points cross-validation takes.

Run it with ``python docs/examples/sparse_path.py``; it writes sparse_path.png.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import save

import wellposed as wp

rng = np.random.default_rng(0)
samples, genes = 120, 2000
X = rng.standard_normal((samples, genes))
X[:, 1:] = 0.6 * X[:, :-1] + 0.8 * X[:, 1:]  # neighbours are correlated
truth = np.zeros(genes)
truth[[100, 500, 900, 1300, 1700]] = [2.0, -1.5, 1.0, -1.0, 0.5]
y = 4.0 + X @ truth + rng.standard_normal(samples)

weight = wp.Parameter("weight", 1.0)
objective = wp.LeastSquares(wp.operators.Matrix(X), y, intercept=True) + weight * wp.L1()
path = wp.path(objective, weight, count=60, folds=5)
chosen = {rule: path.best(rule) for rule in ("cv", "cv-1se", "ebic")}
for rule, point in chosen.items():
    print(f"{rule}: weight {point.value:.3g}, {np.count_nonzero(point.x)} genes, {point.result.status}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.2), layout="constrained")
found = np.flatnonzero(truth)
others = np.setdiff1d(np.flatnonzero(path.x.any(axis=0)), found)
left.semilogx(path.values, path.x[:, others], color="0.8", lw=0.7)
lines = left.semilogx(path.values, path.x[:, found], lw=1.6)
left.legend(
    lines, [f"gene {k}: {truth[k]:g}" for k in found], fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5)
)
left.set_title("coefficients; grey: genes without effect", fontsize=9)
losses = path.criterion("cv")
right.semilogx(path.values, losses, "o-", ms=3, color="0.4")
for (rule, point), style in zip(chosen.items(), ("-", "--", ":"), strict=True):
    right.axvline(point.value, color="C3", ls=style, lw=1, label=f"{rule}: {np.count_nonzero(point.x)} genes")
right.legend(fontsize=7)
right.set_title("mean loss of the samples left out", fontsize=9)
for axis in (left, right):
    axis.set_xlabel("weight", fontsize=9)
    axis.tick_params(labelsize=7)
save(figure, "sparse_path.png")
