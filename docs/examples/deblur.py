"""Undo a known blur: a quadratic penalty of the gradient against total variation.

The first objective is quadratic, so that conjugate gradients solve it. Beyond the border the image
is taken to go on as its mirror image. Run it with ``python docs/examples/deblur.py``; it writes
deblur.png.
"""

import numpy as np
from pictures import panels
from skimage.data import camera

import wellposed as wp
from wellposed.problems.metrics import psnr

clean = (camera()[60:316, 100:356] / 255).astype(np.float32)
A = wp.operators.Convolution(wp.operators.gaussian_kernel(2.0), clean.shape, boundary="reflect")
noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
blurred = A(clean) + np.float32(0.01) * noise

D = wp.operators.Gradient(clean.shape)
quadratic = wp.LeastSquares(A, blurred) + 0.01 * wp.SquaredL2() @ D
soft = wp.minimize(quadratic, tol=1e-4)
print(soft)

total_variation = wp.LeastSquares(A, blurred) + 0.001 * wp.TotalVariation()
sharp = wp.minimize(total_variation, tol=1e-3)
print(sharp)
print("verified:", wp.verify(total_variation, sharp))

panels(
    "deblur.png",
    {
        "truth": clean,
        f"blurred and noisy\nPSNR {psnr(blurred, clean, data_range=1.0):.1f} dB": blurred,
        f"quadratic penalty\nPSNR {psnr(soft.x, clean, data_range=1.0):.1f} dB": soft.x,
        f"total variation\nPSNR {psnr(sharp.x, clean, data_range=1.0):.1f} dB": sharp.x,
    },
)
