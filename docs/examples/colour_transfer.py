"""Recolour one photograph with the colours of another, by entropic transport of their palettes.

Run it with ``python docs/examples/colour_transfer.py``; it writes colour_transfer.png.
"""

import matplotlib.pyplot as plt
from pictures import save

import wellposed as wp

problem = wp.problems.colour_transfer(colours=64, size=200)
pictures = {"photograph": problem.image, "reference": problem.reference}
for eps in (0.001, 0.02):
    result = wp.transport.entropic(problem.cost, problem.shares, problem.reference_shares, eps=eps, tol=1e-6)
    print(f"eps = {eps}: {result.status}, {result.certificate}")
    images = result.barycentric(problem.reference_colours)
    pictures[f"entropic, eps = {eps}"] = problem.recoloured(images)

figure, axes = plt.subplots(1, len(pictures), figsize=(11.0, 2.1), layout="constrained")
for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
    axis.imshow(picture)
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()
save(figure, "colour_transfer.png")
