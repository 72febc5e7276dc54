r"""Acoustic waves on a square grid by finite differences, their linearisation and its adjoint.

One time step, of second order in time and fourth in space, with ``L`` the Laplacian times the squared
grid spacing and zeros beyond the border:

.. math:: (1 + g)\, u^{n+1} = 2 u^n - (1 - g)\, u^{n-1} + V (L u^n + q^n)

``V = (c dt / h)^2``, ``g = gamma dt / 2`` the damping, ``q`` the source. ``L`` is symmetric and ``V``,
``g`` are diagonal, so the adjoint field ``w = V lambda`` takes the same steps backwards in time, with the
residuals at the receivers as its sources. Time ``n`` of a trace is ``u^n``, with ``u^0 = 0``.

Fields have a border of `BORDER` zeros on each side; `places` are indices into such a field. The loops run
over independent shots in parallel; each has two fields, of which the older is overwritten by the newer.
Every ``every`` steps the two fields are kept, so that the adjoint can repeat the steps in between.

Values of a field below ``floor`` are set to zero: ahead of a wave front they fall off to denormal numbers,
which processors handle dozens of times slower.
"""

from __future__ import annotations

from typing import Any

from wellposed.kernels._compile import inline, kernel, prange

BORDER = 2

CENTRE, NEAR, FAR = -5.0, 4.0 / 3.0, -1.0 / 12.0
"""Weights of ``L``: fourth-order second differences along both axes."""

FEWEST = 1 << 17
"""Work per element that makes every call run in parallel: a call has hundreds of time steps."""


@inline
def laplacian_row(field: Any, i: Any, row: Any) -> None:
    """Write row ``i`` of ``L field``."""
    real = row.dtype.type
    centre, near, far = real(CENTRE), real(NEAR), real(FAR)
    size = row.shape[0]
    above, over, line = field[i - 2, 2:], field[i - 1, 2:], field[i]
    below, under = field[i + 1, 2:], field[i + 2, 2:]
    for k in range(size):
        close = line[k + 1] + line[k + 3] + over[k] + below[k]
        apart = line[k] + line[k + 4] + above[k] + under[k]
        row[k] = centre * line[k + 2] + near * close + far * apart


@inline
def advance_row(older: Any, newer: Any, speed: Any, damping: Any, row: Any, floor: Any) -> None:
    """One step of a row: ``older`` becomes the next field; ``damping`` is ``1 / (1 + g)``."""
    zero = row.dtype.type(0)
    for k in range(row.shape[0]):
        old = older[k]
        change = newer[k] - old
        value = old + damping[k] * (change + change + speed[k] * row[k])
        older[k] = value if abs(value) > floor else zero


@inline
def add_product(a: Any, b: Any, total: Any) -> None:
    """Add ``a b`` to a row."""
    for k in range(total.shape[0]):
        total[k] += a[k] * b[k]


@inline
def inner(field: Any, i: Any) -> Any:
    """Row ``i`` of a field, without its border."""
    return field[i + 2, 2 : field.shape[1] - 2]


@inline
def inject(field: Any, speed: Any, damping: Any, i: Any, j: Any, amount: Any) -> None:
    """Add what a source at ``(i, j)`` of a field contributes to a step."""
    field[i, j] += damping[i - 2, j - 2] * speed[i - 2, j - 2] * amount


@inline
def copy_field(source: Any, target: Any) -> None:
    """Copy a field."""
    n, m = source.shape
    for i in range(n):
        for j in range(m):
            target[i, j] = source[i, j]


@kernel("r2 r2 r2 j2 j2 s w4 w2 w5 w3 i", work=FEWEST)
def propagate(
    speed: Any,
    damping: Any,
    wavelets: Any,
    sources: Any,
    receivers: Any,
    floor: Any,
    fields: Any,
    rows: Any,
    kept: Any,
    traces: Any,
    every: Any,
) -> None:
    """Record the traces of each shot, and keep its two fields every ``every`` steps; ``fields`` are zero."""
    for shot in prange(sources.shape[0]):
        row, own, trace = rows[shot], fields[shot], traces[shot]
        trace[:, 0] = 0
        for n in range(wavelets.shape[1] - 1):
            older, newer = own[n % 2], own[(n + 1) % 2]
            if n % every == 0:
                copy_field(older, kept[shot, n // every, 0])
                copy_field(newer, kept[shot, n // every, 1])
            for i in range(speed.shape[0]):
                laplacian_row(newer, i + 2, row)
                advance_row(inner(older, i), inner(newer, i), speed[i], damping[i], row, floor)
            inject(older, speed, damping, sources[shot, 0], sources[shot, 1], wavelets[shot, n])
            for r in range(receivers.shape[0]):
                trace[r, n + 1] = older[receivers[r, 0], receivers[r, 1]]


@kernel("r2 r2 r2 j2 j2 s r2 w4 w3 w3", work=FEWEST)
def scatter(
    speed: Any,
    damping: Any,
    wavelets: Any,
    sources: Any,
    receivers: Any,
    floor: Any,
    change: Any,
    fields: Any,
    rows: Any,
    traces: Any,
) -> None:
    """Record the derivative of the traces along a relative ``change`` of ``V``.

    Four ``fields`` per shot, all zero: two of the waves, two of their derivative.
    """
    for shot in prange(sources.shape[0]):
        row, moved, own, trace = rows[shot, 0], rows[shot, 1], fields[shot], traces[shot]
        i_source, j_source = sources[shot, 0], sources[shot, 1]
        trace[:, 0] = 0
        for n in range(wavelets.shape[1] - 1):
            older, newer = own[n % 2], own[(n + 1) % 2]
            older_moved, newer_moved = own[2 + n % 2], own[2 + (n + 1) % 2]
            for i in range(speed.shape[0]):
                laplacian_row(newer, i + 2, row)
                laplacian_row(newer_moved, i + 2, moved)
                add_product(change[i], row, moved)
                advance_row(inner(older, i), inner(newer, i), speed[i], damping[i], row, floor)
                advance_row(inner(older_moved, i), inner(newer_moved, i), speed[i], damping[i], moved, floor)
            amount = wavelets[shot, n]
            inject(older, speed, damping, i_source, j_source, amount)
            amount *= change[i_source - 2, j_source - 2]
            inject(older_moved, speed, damping, i_source, j_source, amount)
            for r in range(receivers.shape[0]):
                trace[r, n + 1] = older_moved[receivers[r, 0], receivers[r, 1]]


@kernel("r2 r2 r2 j2 j2 s r3 r5 w4 w2 w4 w3 i", work=FEWEST)
def backpropagate(
    speed: Any,
    damping: Any,
    wavelets: Any,
    sources: Any,
    receivers: Any,
    floor: Any,
    residuals: Any,
    kept: Any,
    fields: Any,
    rows: Any,
    stretch: Any,
    gradients: Any,
    every: Any,
) -> None:
    """Add ``sum_n w^n (L u^n + q^n)`` of each shot to its gradient: the adjoint of `scatter`.

    Four ``fields`` per shot: two in which stretches of ``every`` steps are repeated from what
    `propagate` kept, and two of the adjoint, zero. ``stretch`` holds ``L u^n + q^n`` of one stretch.
    """
    steps = wavelets.shape[1] - 1
    for shot in prange(sources.shape[0]):
        row, own, gradient = rows[shot], fields[shot], gradients[shot]
        i_source, j_source = sources[shot, 0], sources[shot, 1]
        for back in range(kept.shape[1]):
            block = kept.shape[1] - 1 - back
            first, last = block * every, min(steps, (block + 1) * every)
            copy_field(kept[shot, block, 0], own[first % 2])
            copy_field(kept[shot, block, 1], own[(first + 1) % 2])
            for n in range(first, last):
                older, newer, force = own[n % 2], own[(n + 1) % 2], stretch[shot, n - first]
                for i in range(speed.shape[0]):
                    laplacian_row(newer, i + 2, force[i])
                    advance_row(inner(older, i), inner(newer, i), speed[i], damping[i], force[i], floor)
                inject(older, speed, damping, i_source, j_source, wavelets[shot, n])
                force[i_source - 2, j_source - 2] += wavelets[shot, n]
            for behind in range(last - first):
                n = last - 1 - behind
                older, newer, force = own[2 + n % 2], own[2 + (n + 1) % 2], stretch[shot, n - first]
                for i in range(speed.shape[0]):
                    laplacian_row(newer, i + 2, row)
                    advance_row(inner(older, i), inner(newer, i), speed[i], damping[i], row, floor)
                    add_product(inner(older, i), force[i], gradient[i])
                for r in range(receivers.shape[0]):
                    i, j, amount = receivers[r, 0], receivers[r, 1], residuals[shot, r, n + 1]
                    inject(older, speed, damping, i, j, amount)
                    amount *= damping[i - 2, j - 2] * speed[i - 2, j - 2]
                    gradient[i - 2, j - 2] += amount * force[i - 2, j - 2]
