"""Remove noise from a colour photograph by vectorial total variation.

The Euclidean norm joins the differences of all colours at a pixel, so that edges stay in one place.
Run it with ``python docs/examples/denoise_photo.py``; it writes denoise_photo.png.
"""

import numpy as np
from pictures import panels
from skimage.data import chelsea

import wellposed as wp
from wellposed.problems.metrics import psnr

clean = (chelsea()[:256, 80:368] / 255).astype(np.float32)  # rows, columns, colours
noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
noisy = clean + np.float32(0.12) * noise

joint = wp.LeastSquares(None, noisy) + 0.15 * wp.TotalVariation(channel_axis=-1) + wp.Box(0.0, 1.0)
result = wp.minimize(joint, tol=1e-4)
print(result)

alone = np.empty_like(noisy)
for k in range(3):
    channel = wp.LeastSquares(None, noisy[..., k]) + 0.12 * wp.TotalVariation() + wp.Box(0.0, 1.0)
    alone[..., k] = wp.minimize(channel, tol=1e-4).x

panels(
    "denoise_photo.png",
    {
        "truth": clean,
        f"noisy, PSNR {psnr(noisy, clean, data_range=1.0):.1f} dB": noisy,
        f"each colour alone, PSNR {psnr(alone, clean, data_range=1.0):.1f} dB": alone,
        f"colours joined, PSNR {psnr(result.x, clean, data_range=1.0):.1f} dB": result.x,
    },
)
