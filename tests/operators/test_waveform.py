"""Acoustic waves against analytic solutions, a naive twin and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

import wellposed as wp
from wellposed import arrays
from wellposed.operators.waveform import COURANT

AcousticWaves, ricker = wp.operators.AcousticWaves, wp.operators.ricker

SHAPE = (12, 15)
SOURCES, RECEIVERS = [[1, 3], [10, 12], [5, 5]], [[1, 12], [11, 0], [1, 3], [6, 6]]


def small(layer=4, sources=SOURCES, receivers=RECEIVERS, n_times=60):
    wavelet = ricker(6.0, 0.005, n_times)
    return AcousticWaves(SHAPE, 0.04, 0.005, wavelet, sources, receivers, 4.0, layer)


def velocities(rng, dtype=np.float64):
    return (2 + rng.random(SHAPE)).astype(dtype)


def naive(waves, velocity, half_damping):
    """The same steps with rolled arrays, one shot after the other."""
    wide = np.pad(velocity, waves.layer, mode="edge")
    speed = (wide * waves.dt / waves.spacing) ** 2
    traces = np.zeros(waves.range_shape)
    for k, source in enumerate(waves.sources + waves.layer):
        u, before = np.zeros((2, *wide.shape))
        for n in range(waves.range_shape[2] - 1):
            p = np.pad(u, 2)
            force = sum(
                -np.roll(p, shift, axis) / 12 + 4 / 3 * np.roll(p, shift // 2, axis)
                for shift in (-2, 2)
                for axis in (0, 1)
            )
            force = force[2:-2, 2:-2] - 5 * u
            force[tuple(source)] += waves.wavelets[k, n]
            after = (2 * u - (1 - half_damping) * before + speed * force) / (1 + half_damping)
            u, before = after, u
            for r, receiver in enumerate(waves.receivers + waves.layer):
                traces[k, r, n + 1] = u[tuple(receiver)]
    return traces


@pytest.mark.parametrize("layer", [0, 4])
def test_traces_of_a_naive_twin(rng, layer):
    waves, velocity = small(layer), velocities(rng)
    depth = [
        np.abs(np.arange(-layer, n + layer) - np.clip(np.arange(-layer, n + layer), 0, n - 1)) for n in SHAPE
    ]
    rate = 4 * 4.0 / (max(layer, 1) * 0.04) * np.log(1 / 0.03)
    g = 0.005 / 2 * rate * np.add.outer(*((d / max(layer, 1)) ** 3 for d in depth))
    np.testing.assert_allclose(waves(velocity), naive(waves, velocity, g), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", [0, 4])
def test_adjoint_of_the_linearisation(rng, dtype, layer):
    """To rounding, with receivers on top of each other and of a source, and stretches of uneven length."""
    waves = small(layer, receivers=[*RECEIVERS, RECEIVERS[0]], n_times=77)
    J = waves.linearised(velocities(rng, dtype))
    x, y = rng.standard_normal(SHAPE).astype(dtype), rng.standard_normal(waves.range_shape).astype(dtype)
    left, right = arrays.inner(J(x), y), arrays.inner(x, J.T(y))
    assert abs(left - right) <= 2 * np.finfo(dtype).eps * np.linalg.norm(J(x)) * np.linalg.norm(y)
    assert J(x).dtype == J.T(y).dtype == dtype


def test_linearisation_is_the_derivative(rng):
    waves, velocity, d = small(), velocities(rng), rng.standard_normal(SHAPE)
    change = (waves(velocity + 1e-5 * d) - waves(velocity - 1e-5 * d)) / 2e-5
    J = waves.linearised(velocity)
    np.testing.assert_allclose(J(d), change, atol=1e-8 * abs(change).max())
    assert np.array_equal(J.traces, waves(velocity))


def test_source_and_receiver_can_change_places(rng):
    """Reciprocity of a medium at rest."""
    there, back = ([[1, 3]], [[9, 11]]), ([[9, 11]], [[1, 3]])
    velocity = velocities(rng)
    traces = [small(4, *pair)(velocity)[0, 0] for pair in (there, back)]
    np.testing.assert_allclose(traces[0], traces[1], atol=1e-13)


def green(frequency, velocity, distance, times):
    """The wave of a point source with a Ricker wavelet in the whole plane."""
    delay = 1.5 / frequency

    def wavelet(t):
        a = (np.pi * frequency * (t - delay)) ** 2
        return (1 - 2 * a) * np.exp(-a)

    def at(t):
        if velocity * t <= distance:
            return 0.0
        end = np.arccosh(velocity * t / distance)
        integral = quad(
            lambda a: wavelet(t - distance / velocity * np.cosh(a)), 0, end, epsabs=1e-11, limit=200
        )
        return integral[0] / (2 * np.pi)

    return np.array([at(t) for t in times])


def error_against_the_green_function(spacing, dt):
    """The grid is so large that nothing comes back from its border in that time."""
    f, c, r, seconds = 4.0, 2.0, 0.64, 0.9
    rows, columns, times = round(1.68 / spacing) + 1, round(1.84 / spacing) + 1, round(seconds / dt) + 1
    place, heard = [[rows // 2, round(0.6 / spacing)]], [[rows // 2, round((0.6 + r) / spacing)]]
    waves = AcousticWaves((rows, columns), spacing, dt, ricker(f, dt, times), place, heard, c, layer=0)
    trace = waves(np.full((rows, columns), c))[0, 0]
    step = round(0.01 / dt)
    exact = green(f, c, r, waves.times[::step])
    return np.linalg.norm(trace[::step] - exact) / np.linalg.norm(exact)


def test_order_of_convergence_to_the_analytic_solution():
    """Fourth order in space, second in time: errors fall 16-fold when dt falls with the squared spacing."""
    errors = [
        error_against_the_green_function(0.04, 0.0025),
        error_against_the_green_function(0.02, 0.000625),
    ]
    assert errors[1] < 1.5e-3
    assert np.log2(errors[0] / errors[1]) > 3.8


def test_second_order_in_time_with_a_standing_wave():
    """Without a layer: the lowest mode of the stencil swings with a frequency right to second order."""
    errors = []
    for dt in (0.01, 0.005):
        n_times = round(1.0 / dt) + 1
        impulse = np.zeros(n_times)
        impulse[0] = 1 / dt  # a unit of momentum at time 0
        waves = AcousticWaves((1, 5), 0.2, dt, impulse, [[0, 2]], [[0, 2]], 4.0, layer=0)
        L = np.array([waves_matrix_row(k) for k in range(5)]) / 0.2**2
        values, vectors = np.linalg.eigh(L)
        omega = 2.0 * np.sqrt(values)
        exact = ((vectors[2] ** 2) / omega * np.sin(np.outer(waves.times, omega))).sum(axis=1) * 4.0 / 0.2**2
        errors.append(abs(waves(np.full((1, 5), 2.0))[0, 0] - exact).max())
    assert np.log2(errors[0] / errors[1]) > 1.8


def waves_matrix_row(k):
    """A row of minus the fourth-order Laplacian of a single line of five points with zeros around."""
    row = np.zeros(9)
    row[k : k + 5] = [1 / 12, -4 / 3, 5.0, -4 / 3, 1 / 12]
    return row[2:7]


def test_the_layer_absorbs():
    """What comes back from a border 20 points of layer away is below two percent of the direct wave."""
    wavelet, middle = ricker(5.0, 0.004, 400), [[30, 30]]
    heard = [[30, 45]]
    near = AcousticWaves((61, 61), 0.03, 0.004, wavelet, middle, heard, 3.0, layer=20)
    far = AcousticWaves((61, 61), 0.03, 0.004, wavelet, middle, heard, 3.0, layer=120)
    a, b = (w(np.full((61, 61), 2.0))[0, 0] for w in (near, far))
    assert abs(a - b).max() < 0.02 * abs(b).max()


def test_scale_of_sources_and_precision(rng):
    """Traces are linear in the sources at any scale, also where single precision would underflow."""
    velocity = velocities(rng, np.float32)
    strong, weak = (
        AcousticWaves(SHAPE, 0.04, 0.005, scale * ricker(6.0, 0.005, 60), SOURCES, RECEIVERS, 4.0)
        for scale in (1.0, 1e-25)
    )
    expected = strong(velocity.astype(float))
    np.testing.assert_allclose(weak(velocity) * 1e25, expected, atol=1e-5 * abs(expected).max())
    still = AcousticWaves(SHAPE, 0.04, 0.005, np.zeros(60), SOURCES, RECEIVERS, 4.0)
    assert not still(velocity).any()
    assert not still.linearised(velocity).T(np.zeros(still.range_shape)).any()


def test_wavelets_of_each_source(rng):
    velocity, wavelets = velocities(rng), rng.standard_normal((3, 60))
    together = AcousticWaves(SHAPE, 0.04, 0.005, wavelets, SOURCES, RECEIVERS, 4.0)(velocity)
    alone = AcousticWaves(SHAPE, 0.04, 0.005, wavelets[1], [SOURCES[1]], RECEIVERS, 4.0)(velocity)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-14)


def test_tensors_come_back_as_tensors(rng):
    torch = pytest.importorskip("torch")
    waves, velocity = small(), velocities(rng)
    traces = waves(torch.asarray(velocity))
    assert isinstance(traces, torch.Tensor)
    np.testing.assert_array_equal(traces.numpy(), waves(velocity))


def test_read_only_input_is_taken_and_kept(rng):
    waves, velocity = small(), velocities(rng)
    velocity.flags.writeable = False
    J = waves.linearised(velocity)
    J.traces[...] = 0
    assert np.array_equal(J.traces, waves(velocity))


def build(**changes):
    options = {
        "shape": SHAPE,
        "spacing": 0.04,
        "dt": 0.005,
        "wavelet": ricker(6.0, 0.005, 60),
        "sources": SOURCES,
        "receivers": RECEIVERS,
        "max_velocity": 4.0,
        "layer": 4,
    }
    return AcousticWaves(**(options | changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dt": 0.0062}, ValueError, r"dt=0.0062 is unstable .* it may be at most 0.006124"),
        ({"max_velocity": 5.0}, ValueError, "is unstable"),
        (
            {"sources": [[1, 1], [3, 15]]},
            ValueError,
            r"source 1 at \(3, 15\) is outside of the grid of shape",
        ),
        ({"receivers": [[-1, 1]]}, ValueError, r"receiver 0 at \(-1, 1\) is outside"),
        ({"sources": [[1.5, 2.0]]}, TypeError, "sources must be integers"),
        ({"sources": [1, 2]}, ValueError, r"sources must be an array of shape \(n, 2\)"),
        ({"receivers": np.zeros((0, 2), int)}, ValueError, r"receivers must be an array of shape \(n, 2\)"),
        (
            {"wavelet": np.ones((2, 60))},
            ValueError,
            r"wavelet must have shape \(n_times,\) or \(3, n_times\)",
        ),
        ({"wavelet": np.full(60, np.nan)}, ValueError, "wavelet has 60 non-finite entries"),
        ({"wavelet": np.ones(1)}, ValueError, "with at least 2 times"),
        ({"shape": (12, 15, 3)}, ValueError, r"shape must be \(rows, columns\)"),
        ({"layer": -3}, ValueError, "layer must be at least 1"),
        ({"layer": 2.5}, TypeError, "layer must be an integer"),
        ({"spacing": 0.0}, ValueError, "spacing must be positive"),
    ],
)
def test_bad_geometry(changes, error, message):
    with pytest.raises(error, match=message):
        build(**changes)


@pytest.mark.parametrize(
    ("velocity", "message"),
    [
        (np.full(SHAPE, 4.5), r"these are in \[4.5, 4.5\]: limit them"),
        (np.zeros(SHAPE), "velocities must be above 0"),
        (np.ones((3, 3)), r"takes velocities of shape \(12, 15\), got \(3, 3\)"),
        (np.full(SHAPE, np.nan), "velocity has 180 non-finite entries"),
    ],
)
def test_bad_velocities(velocity, message):
    with pytest.raises(ValueError, match=message):
        small()(velocity)


def test_the_largest_stable_step_is_stable():
    wavelet = ricker(6.0, 0.005, 3000)
    waves = AcousticWaves(
        (9, 9), 0.04, COURANT * 0.01 * (1 - 1e-12), wavelet, [[4, 4]], [[2, 2]], 4.0, layer=3
    )
    traces = waves(np.full((9, 9), 4.0))
    assert abs(traces[0, 0, -500:]).max() < abs(traces).max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0.0, 0.01, 5), "frequency must be positive"), ((1.0, 0.01, 0), "n_times must be at least 1")],
)
def test_bad_wavelet(arguments, message):
    with pytest.raises(ValueError, match=message):
        ricker(*arguments)
