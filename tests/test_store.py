"""What is kept comes back to the last bit; what is damaged is as good as absent."""

import os

import numpy as np
import pytest

from tracer.engine.store import Store, key_of

KEY = key_of(["a", 1.5])
ARRAYS = {"x": np.array([0.1, -0.0, np.inf], dtype=np.float32), "n": np.arange(4).reshape(2, 2)}
ABOUT = {"tokens": {" Austin": 3}, "p": 0.1 + 0.2}


def only(folder):
    [path] = folder.rglob("*.safetensors")
    return path


def test_an_entry_comes_back(tmp_path):
    store = Store(tmp_path)
    assert store.read(KEY) is None and not store.holds(KEY)
    store.write(KEY, ARRAYS, ABOUT)
    entry = Store(tmp_path).read(KEY)
    assert entry is not None and store.holds(KEY)
    assert entry.about == ABOUT
    for name, array in ARRAYS.items():
        assert entry.arrays[name].dtype == array.dtype
        assert entry.arrays[name].tobytes() == array.tobytes()


def test_keys_tell_causes_apart():
    causes = ([1], [1.0000000000000002], ["1"], [[1]], [1, 2], {"a": 1}, {"a": None})
    assert len({key_of(cause) for cause in causes}) == len(causes)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data.replace(b"Austin", b"Boston"),
        lambda data: b"not a tensor in here",
        lambda data: (2**62).to_bytes(8, "little") + data[8:],
    ],
)
def test_what_is_damaged_is_absent_and_replaced(tmp_path, damage):
    store = Store(tmp_path)
    store.write(KEY, ARRAYS, ABOUT)
    path = only(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert store.read(KEY) is None
    store.write(KEY, ARRAYS, ABOUT)
    assert store.read(KEY) is not None


def test_what_was_used_longest_ago_goes_first(tmp_path):
    store = Store(tmp_path)
    keys = [key_of(n) for n in range(3)]
    for age, key in enumerate(keys):
        store.write(key, ARRAYS, ABOUT)
        path = tmp_path / key[:2] / f"{key[2:]}.safetensors"
        os.utime(path, (1000 + age, 1000 + age))
    store.read(keys[0])
    one = store.size().bytes // 3
    small = Store(tmp_path, max_bytes=3 * one)
    small.write(key_of("new"), ARRAYS, ABOUT)
    there = [small.holds(key) for key in (*keys, key_of("new"))]
    assert there == [True, False, False, True]
    assert small.size().bytes <= 3 * one


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "inside")
    store.write(KEY, ARRAYS, ABOUT)
    assert store.failed is not None
    assert store.read(KEY) is None
    assert store.size() == (0, 0)


def test_clearing_removes_all(tmp_path):
    store = Store(tmp_path / "kept")
    store.write(KEY, ARRAYS, ABOUT)
    assert store.clear().entries == 1
    assert store.size() == (0, 0)
    assert store.clear() == (0, 0)


def test_trimming_begins_with_what_killed_processes_left(tmp_path):
    store = Store(tmp_path, max_bytes=1)
    (tmp_path / KEY[:2]).mkdir()
    left = [tmp_path / KEY[:2] / f".a.safetensors.0123456{n}.tmp" for n in range(2)]
    for path in left:
        path.write_bytes(b"half")
    os.utime(left[0], (0, 0))
    store.write(KEY, ARRAYS, ABOUT)
    assert [path.exists() for path in left] == [False, True]
