"""Learn the weight and the smoothing of total variation on patches of one photograph, deblur another.

`wp.learn` moves both parameters so that the squared error of the deblurred patches falls; the second
photograph takes no part. Run it with ``python docs/examples/learn_prior.py``; it writes learn_prior.png.
"""

import numpy as np
from pictures import panels
from skimage.data import astronaut, camera

import wellposed as wp
from wellposed.problems.metrics import psnr

rng = np.random.default_rng(0)
weight = wp.Parameter("weight", 1e-4)
smoothing = wp.Parameter("smoothing", 0.1, low=1e-3, high=1.0)
prior = weight * wp.SmoothedTotalVariation(smoothing) + 1e-4 * wp.SquaredL2()


def blurred(image):
    A = wp.operators.Convolution(wp.operators.gaussian_kernel(1.5), image.shape, boundary="reflect")
    return A, A(image) + np.float32(0.01) * rng.standard_normal(image.shape, dtype=np.float32)


grey = (astronaut().mean(axis=-1) / 255).astype(np.float32)
clean = [grey[i : i + 64, j : j + 64] for i, j in ((40, 180), (120, 200), (200, 120), (300, 260))]
lower = [wp.LeastSquares(*blurred(patch)) + prior for patch in clean]
fit = wp.learn(lower, [wp.SquaredError(patch) for patch in clean], method="quasi-newton", max_iter=20)
print(fit)

other = (camera()[60:252, 130:322] / 255).astype(np.float32)
A, b = blurred(other)
objective = wp.LeastSquares(A, b) + prior
before = wp.minimize(objective, tol=1e-3)
after = wp.minimize(objective.with_parameters(fit.values), tol=1e-3)
print(after)
images = {"truth": other, "blurred": b, "parameters of the start": before.x, "learned parameters": after.x}
panels(
    "learn_prior.png",
    {
        name if image is other else f"{name}\nPSNR {psnr(image, other, data_range=1.0):.1f} dB": image
        for name, image in images.items()
    },
    width=2.4,
)
