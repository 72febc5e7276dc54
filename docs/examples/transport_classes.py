"""Transport between points in classes: what each penalty does to the plan.

The first row draws the plans as matrices, the second as lines between the points. Run it with
``python docs/examples/transport_classes.py``; it writes transport_classes.png.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from pictures import save

import wellposed as wp

clouds = wp.problems.class_clouds(per_class=8, classes=3, noise=1.2)
cost, labels = clouds.cost, clouds.source_labels
pairs = wp.transport.class_weights(labels)
bound = wp.transport.recovery_bound(cost, labels, clouds.target_labels)

results = {
    "exact": wp.transport.exact(cost),
    "entropic": wp.transport.entropic(cost, eps=0.01),
    "quadratic": wp.transport.quadratic(cost, reg=3.0),
    "group lasso": wp.transport.group_lasso(cost, labels=labels, reg=3.0, eta=0.3),
    "sum of norms": wp.transport.sum_of_norms(cost, lam=bound, row_weights=pairs, column_weights=pairs),
}

figure, axes = plt.subplots(2, len(results), figsize=(12.0, 4.3), height_ratios=(5, 3), layout="constrained")
for (name, result), (top, bottom) in zip(results.items(), axes.T, strict=True):
    print(f"{name}: {result.status}, {result.certificate}")
    plan = result.rounded
    top.imshow(plan, cmap="Blues")
    top.set_title(f"{name}\n{100 * clouds.mixed_mass(plan):.0f} % between classes", fontsize=9)
    rows, columns = np.nonzero(plan > 1e-3 * plan.max())
    ends = np.stack([clouds.sources[rows], clouds.targets[columns]], axis=1)
    strength = plan[rows, columns] / plan.max()
    bottom.add_collection(LineCollection(ends, colors="0.3", linewidths=1.5 * strength, alpha=0.7))
    bottom.scatter(*clouds.sources.T, c=labels, cmap="Set1", vmax=8, s=18, zorder=2)
    bottom.scatter(*clouds.targets.T, c=clouds.target_labels, cmap="Set1", vmax=8, s=22, marker="^", zorder=2)
    bottom.set_aspect("equal")
    for axis in (top, bottom):
        axis.set_xticks([])
        axis.set_yticks([])
save(figure, "transport_classes.png")
