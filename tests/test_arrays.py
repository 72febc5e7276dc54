"""Dtypes, checks, sums, and the bridge between array libraries."""

from __future__ import annotations

import gc
import math

import array_api_strict
import numpy as np
import pytest

from wellposed import arrays


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def both(a):
    """The array in NumPy and in the strict library."""
    return [np.asarray(a), array_api_strict.asarray(np.asarray(a))]


# --- what is taken ----------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [("float32", "complex64"), ("float64", "complex128")])
def test_real_and_complex_dtypes(pair):
    for real in both(np.ones(2, pair[0])):
        xp = arrays.namespace(real)
        assert arrays.complex_dtype(real) == getattr(xp, pair[1])
        assert arrays.real_dtype(real) == real.dtype
    for wavy in both(np.ones(2, pair[1])):
        xp = arrays.namespace(wavy)
        assert arrays.real_dtype(wavy) == getattr(xp, pair[0])
        assert arrays.complex_dtype(wavy) == wavy.dtype


def test_floating_arrays_are_taken_as_they_are():
    for dtype in ("float32", "float64"):
        for a in both(np.ones(2, dtype)):
            assert arrays.as_floating(a, "a") is a


def test_lists_integers_and_booleans_become_double():
    for a in ([1, 2], 3, np.array([True, False]), np.arange(3), array_api_strict.arange(3)):
        made = arrays.as_floating(a, "a")
        assert made.dtype == arrays.namespace(made).float64


def test_foreign_byte_order_is_read():
    a = np.array([1.0, 2.0], ">f4")
    made = arrays.as_floating(a, "a")
    assert made.dtype.isnative
    assert made.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("a", "error", "message"),
    [
        (np.ones(2, np.float16), TypeError, "a must be float32 or float64, got float16"),
        (np.ones(2, complex), TypeError, "a must be float32 or float64, got complex128"),
        (["x"], TypeError, "a must hold numbers"),
        ([[1], [1, 2]], ValueError, "a cannot be read as an array"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), TypeError, "a is a masked array"),
    ],
)
def test_what_is_refused(a, error, message):
    with pytest.raises(error, match=message):
        arrays.as_floating(a, "a")


def test_libraries_and_devices_are_not_mixed():
    strict = array_api_strict.ones(2)
    with pytest.raises(TypeError, match=r"arrays of two libraries: numpy array .* and array_api_strict"):
        arrays.namespace(np.ones(2), strict)
    elsewhere = array_api_strict.ones(2, device=array_api_strict.Device("device1"))
    with pytest.raises(ValueError, match="arrays on two devices"):
        arrays.namespace(strict, elsewhere)
    with pytest.raises(TypeError, match=r"expected an array .*, got list"):
        arrays.namespace([1.0])


def test_non_finite_entries_are_counted_and_the_first_is_named():
    a = np.zeros((3, 4))
    a[1, 2], a[2, 0] = np.nan, np.inf
    for each in both(a):
        with pytest.raises(ValueError, match=r"b has 2 non-finite entries .*, the first at index \(1, 2\)"):
            arrays.check_finite(each, "b")
    arrays.check_finite(np.zeros(3), "b")


# --- sums -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 100_003])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_inner_product_is_accumulated_in_double(size, dtype, rng):
    a, b = (rng.uniform(size=size).astype(dtype) for _ in range(2))
    if a.dtype.kind == "c":
        a, b = a * (1 + 2j), b * (1 - 1j)
    exact = math.fsum((a.astype(complex).conj() * b.astype(complex)).real)
    magnitude = math.fsum(np.abs(a.astype(complex) * b))
    for u, v in zip(both(a), both(b), strict=True):
        assert abs(arrays.inner(u, v) - exact) <= 3e-7 * magnitude
    assert arrays.norm(a) == pytest.approx(np.linalg.norm(a.astype(complex)), rel=1e-6, abs=1e-30)


def test_a_long_sum_of_singles_does_not_drift():
    a = np.full(10_000_000, 0.1, np.float32)
    assert arrays.total(a) == pytest.approx(a.size * float(np.float32(0.1)), rel=1e-12)
    assert arrays.inner(a, a) == pytest.approx(a.size * float(np.float32(0.1)) ** 2, rel=2e-7)


# --- constants --------------------------------------------------------------------------------


def test_constants_go_where_their_partner_is():
    constant = arrays.Constant(np.array([1.0, 2.0]))
    assert constant.like(np.ones(2)) is constant.array
    single = constant.like(np.ones(2, np.float32))
    assert single.dtype == np.float32
    assert constant.like(np.ones(5, np.float32)) is single
    assert constant.like(np.ones(2, np.complex64)).dtype == np.float32
    strict = constant.like(array_api_strict.ones(2, dtype=array_api_strict.float32))
    assert strict.dtype == array_api_strict.float32
    assert arrays.Constant(np.ones(2, complex)).like(np.ones(2, np.float32)).dtype == np.complex64
    with pytest.raises(TypeError, match="arrays of two libraries"):
        arrays.Constant(array_api_strict.ones(2)).like(np.ones(2))


def test_read_only_constants_stay_so_in_torch(torch):
    a = np.ones(2)
    a.flags.writeable = False
    moved = arrays.Constant(a).like(torch.ones(2, dtype=torch.float64))
    moved[0] = 5
    assert a[0] == 1
    arrays.as_namespace(a, torch.ones(2), "a")[0] = 5
    assert a[0] == 1


# --- the bridge -------------------------------------------------------------------------------


def test_numpy_and_torch_share_memory(torch):
    a = np.arange(6.0).reshape(2, 3)
    t = arrays.convert(a, "torch")
    assert t.data_ptr() == a.ctypes.data
    a[0, 1] = 10
    assert t[0, 1] == 10
    t[1, 2] = 20
    assert a[1, 2] == 20
    back = arrays.convert(t, "numpy")
    assert back.ctypes.data == a.ctypes.data
    back[0, 0] = 30
    assert t[0, 0] == 30


def test_memory_outlives_its_first_owner(torch):
    t = arrays.convert(np.full(100_000, 7.0), "torch")
    a = arrays.convert(torch.full((100_000,), 8.0), "numpy")
    gc.collect()
    clutter = [np.zeros(100_000) for _ in range(20)]
    assert bool((t == 7).all())
    assert np.all(a == 8)
    del clutter


def test_strict_arrays_are_viewed_and_written_through():
    a = array_api_strict.zeros((2, 2))
    arrays.numpy_view(a)[0, 1] = 3
    assert float(a[0, 1]) == 3


def test_transposed_and_single_precision_arrays_keep_layout_and_dtype(torch):
    a = np.arange(6, dtype=np.float32).reshape(2, 3).T
    t = arrays.convert(a, "torch")
    assert t.dtype == torch.float32
    assert t.stride() == (1, 3)
    assert t.numpy().tolist() == a.tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: np.arange(4.0)[::-1], "negative strides .* numpy.ascontiguousarray"),
        (lambda: np.ones(3, ">f8"), "foreign byte order"),
        (lambda: np.frombuffer(bytes(8)), "read-only, which torch would ignore"),
    ],
)
def test_what_cannot_be_shared_is_refused(make, message, torch):
    with pytest.raises(ValueError, match=message):
        arrays.convert(make(), "torch")


def test_gradients_are_not_lost_in_silence(torch):
    t = torch.ones(3, requires_grad=True)
    for share in (lambda: arrays.convert(t, "numpy"), lambda: arrays.numpy_view(t)):
        with pytest.raises(ValueError, match=r"requires gradients.* pass tensor.detach\(\)"):
            share()
    assert arrays.convert(t.detach(), "numpy").tolist() == [1, 1, 1]
    assert arrays.convert(t, "torch") is t
    with torch.no_grad():
        assert arrays.numpy_view(t).tolist() == [1, 1, 1]


def test_host_memory_does_not_go_to_the_gpu_in_silence(torch):
    for a in (np.ones(2), torch.ones(2)):
        with pytest.raises(ValueError, match="in host memory"):
            arrays.convert(a, "cupy")


def test_unknown_library():
    with pytest.raises(
        ValueError, match="library must be 'numpy', 'torch', 'cupy' or 'jax', got 'tensorflow'"
    ):
        arrays.convert(np.ones(2), "tensorflow")


def test_contiguous():
    a = np.arange(12.0).reshape(3, 4)
    assert arrays.contiguous(a) is a
    assert arrays.contiguous(a.T).flags.c_contiguous
    assert not arrays.is_contiguous(a[:, ::2])
    np.testing.assert_array_equal(arrays.contiguous(a.T), a.T)


def test_new_arrays_are_like_their_model():
    for a in both(np.ones(2, np.float32)):
        for make in (arrays.empty, arrays.zeros):
            made = make((2, 3), a)
            assert type(made) is type(a)
            assert (tuple(made.shape), made.dtype) == ((2, 3), a.dtype)
    assert arrays.zeros((2,), np.ones(1), np.complex64).dtype == np.complex64


@pytest.mark.gpu
def test_cupy_and_torch_share_gpu_memory(torch):
    cupy = pytest.importorskip("cupy")
    a = cupy.arange(4.0)
    t = arrays.convert(a, "torch")
    assert t.data_ptr() == a.data.ptr
    assert arrays.convert(t, "cupy").data.ptr == a.data.ptr
    with pytest.raises(ValueError, match="expected host memory"):
        arrays.convert(a, "numpy")
