"""Comparing environments bit by bit."""

import numpy as np


def assert_same(a, b, path="") -> None:
    """Equal to the last bit and of the same types: numbers, arrays, arrays of objects, and dictionaries of them."""
    if isinstance(a, dict):
        assert isinstance(b, dict), path
        assert set(a) == set(b), f"{path}: {set(a) ^ set(b)}"
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, np.ndarray) and a.dtype != object:
        assert (a.dtype, a.shape) == (b.dtype, b.shape), path
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), f"{path}: {a} {b}"
    elif isinstance(a, np.ndarray | tuple | list):
        assert len(a) == len(b), path
        for x, y in zip(a, b, strict=True):
            assert_same(x, y, path)
    else:
        assert a == b, f"{path}: {a!r} {b!r}"


def actions(space, seed, steps):
    """Seeded uniform actions in `space`, each held for three steps, so that robots get somewhere."""
    rng = np.random.default_rng(seed)
    return [action for _ in range(-(-steps // 3)) for action in [rng.uniform(space.low, space.high)] * 3][:steps]
