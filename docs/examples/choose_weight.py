"""Let the data choose the weight of total variation, and compare with the weight that the truth favours.

The rule is told the noise level and sees nothing of the truth. Run it with
``python docs/examples/choose_weight.py``; it writes choose_weight.png.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import save, show
from skimage.data import astronaut

import wellposed as wp
from wellposed.problems.metrics import psnr

clean = (astronaut()[:192, 120:312].mean(axis=-1) / 255).astype(np.float32)
noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
noisy = clean + np.float32(0.1) * noise

weight = wp.Parameter("weight", 0.1)
objective = wp.LeastSquares(None, noisy) + weight * wp.TotalVariation()
choice = wp.choose(objective, weight, noise_level=0.1)
print(choice)
print(choice.result)

tried = np.array([record.value for record in choice.curve])
criterion = np.array([record.criterion for record in choice.curve])
at = {w: wp.minimize(objective.with_parameters({"weight": float(w)})) for w in tried}
quality = np.array([psnr(at[w].x, clean, data_range=1.0) for w in tried])

figure, (left, *others) = plt.subplots(1, 4, figsize=(11.5, 2.9), layout="constrained")
left.semilogx(tried, criterion, "o-", ms=3, color="C0", label=f"criterion of {choice.rule}")
left.axvline(choice.value, color="0.6", lw=1)
left.set_xlabel("weight", fontsize=9)
right = left.twinx()
right.semilogx(tried, quality, "s--", ms=3, color="C1", label="PSNR / dB (needs the truth)")
lines = left.get_lines()[:1] + right.get_lines()
names = [str(line.get_label()) for line in lines]
left.legend(lines, names, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0))
left.tick_params(labelsize=7)
right.tick_params(labelsize=7)
for axis, (title, w) in zip(
    others, [("too small", tried[0]), ("chosen", choice.value), ("too large", tried[-1])], strict=True
):
    x = choice.result.x if title == "chosen" else at[w].x
    show(axis, x, f"{title}: {w:.3g}, PSNR {psnr(x, clean, data_range=1.0):.1f} dB")
save(figure, "choose_weight.png")
