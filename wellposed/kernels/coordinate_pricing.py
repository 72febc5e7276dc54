"""Products of the columns of a dense matrix with a vector: of all, with their sizes, and of some."""

from __future__ import annotations

from wellposed.kernels._compile import kernel, prange


@kernel("r2 r1 w1 w1 w1")
def products_and_sizes(columns, y, products, sums, squares):  # type: ignore[no-untyped-def]
    """The product of each row of ``columns`` with ``y``, its sum, and its sum of squares, in one pass."""
    for j in prange(columns.shape[0]):
        product = 0 * y[0]
        total = 0 * product
        square = 0 * product
        for i in range(y.size):
            entry = columns[j, i]
            product += entry * y[i]
            total += entry
            square += entry * entry
        products[j] = product
        sums[j] = total
        squares[j] = square


@kernel("r2 r1 j1 w1")
def some_products(columns, y, index, products):  # type: ignore[no-untyped-def]
    """The products of the rows ``index`` of ``columns`` with ``y``, in their places of ``products``."""
    for k in prange(index.size):
        j = index[k]
        product = 0 * y[0]
        for i in range(y.size):
            product += columns[j, i] * y[i]
        products[j] = product
