"""An operator of your own: the mean over blocks of pixels, undone by total variation (super-resolution).

Three methods make an operator; ``wp.testing.check_operator`` checks its adjoint and its norm. Run it
with ``python docs/examples/own_operator.py``; it writes own_operator.png.
"""

import numpy as np
from pictures import panels
from skimage.data import astronaut

import wellposed as wp
from wellposed.problems.metrics import psnr


class BlockMean(wp.LinearOperator):
    """The mean over blocks of ``size x size`` pixels."""

    nonnegative = True  # no entry of the matrix is below 0

    def __init__(self, shape, size):
        super().__init__(shape, (shape[0] // size, shape[1] // size))
        self.size = size

    def _blocks(self, x):
        rows, columns = self.range_shape
        return x.reshape(rows, self.size, columns, self.size)

    def _apply(self, x, out):
        out[...] = self._blocks(x).mean(axis=(1, 3))

    def _apply_adjoint(self, y, out):
        self._blocks(out)[...] = y[:, None, :, None] / self.size**2

    def _norm(self):
        return 1 / self.size


clean = (astronaut()[0:240, 100:340].mean(axis=-1) / 255).astype(np.float32)
A = BlockMean(clean.shape, 4)
wp.testing.check_operator(A)

b = A(clean) + np.float32(0.01) * np.random.default_rng(0).standard_normal(A.range_shape, dtype=np.float32)
objective = wp.LeastSquares(A, b) + 0.001 * wp.TotalVariation() + wp.Box(0.0, 1.0)
result = wp.minimize(objective, tol=1e-2)
print(result)
print("verified:", wp.verify(objective, result))

large = np.kron(b, np.ones((4, 4), np.float32))
panels(
    "own_operator.png",
    {
        "truth": clean,
        f"data, pixels repeated\nPSNR {psnr(large, clean, data_range=1.0):.1f} dB": large,
        f"total variation\nPSNR {psnr(result.x, clean, data_range=1.0):.1f} dB": result.x,
    },
)
