"""An index of a text: the same as running every window alone and looking at every activation."""

import errno
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from tests.opened import BASES, basis_of, open_tiny
from tracer.engine.corpus.passages import find_texts
from tracer.engine.corpus.windows import read_windows
from tracer.engine.feature_index import build, index
from tracer.engine.feature_index.bins import EDGES
from tracer.engine.feature_text import activations_of
from tracer.engine.features.open import OpenBasis
from tracer.engine.progress import Silent
from tracer.engine.session import Opened, subject_of
from tracer.errors import UsageError
from tracer.hypothesis.vocabulary import token_text
from tracer.record.feature_card import LogitEffect, LogitEffects
from tracer.record.feature_index import automatic_label

N_PLACES = 3
TEXT = "the capital of the state containing {} is {} in Florida. "
CITIES = ["Dallas", "Houston", "Plano", "Oakland", "Miami", "San Diego", "Munich", "Osaka"]


@pytest.fixture(scope="module")
def model(tiny):
    return open_tiny(tiny)


@pytest.fixture(scope="module", params=BASES)
def opened(request, model, tmp_path_factory):
    basis = basis_of(request.param, model, tmp_path_factory.mktemp(request.param))
    return Opened(model, OpenBasis(basis, request.param, None, request.param))


@pytest.fixture(scope="module")
def windows(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "cities.jsonl"
    lines = [
        f'{{"title": "{city} {n}", "text": "{TEXT.format(city, CITIES[n]) * (1 + n % 3)}"}}'
        for n, city in enumerate(CITIES * 2)
        if n < len(CITIES)
    ]
    path.write_text("\n".join(lines))
    text = find_texts([str(path)])
    return read_windows(text, model.tokenizer, Silent(), length=16, at_most=10**6)


def request_of(windows):
    return build.IndexRequest(windows, ("cities, CC BY-SA",), N_PLACES)


def all_activations(opened, windows, layer):
    """[window, pos, feature], every window run alone."""
    basis, n = opened.basis, windows.n_prefix
    ids = [(layer, each) for each in range(basis.n_features(layer))]
    rows = [activations_of(opened.model, basis, ids, [row.tolist()])[0].T for row in windows.ids]
    return torch.stack(rows)[:, n:].numpy()


class Killed(Exception):
    pass


class KilledAfter(Silent):
    """Ends the process, as it were, after some windows."""

    def __init__(self, n):
        self.left = n

    @contextmanager
    def task(self, label, total=None):
        def advance(n):
            self.left -= n
            if self.left < 0:
                raise Killed

        yield advance if label.startswith("indexing") else lambda n: None


def layers_of(opened):
    found = index.find_index(subject_of(opened))
    return [found.layer(layer).arrays for layer in range(2)]


def assert_same(one, other):
    for mine, theirs in zip(one, other, strict=True):
        assert mine.keys() == theirs.keys()
        assert all((mine[name] == theirs[name]).all() for name in mine)


def test_places_counts_and_shares_are_those_of_every_activation(opened, windows):
    made = build.make_index(opened, request_of(windows), Silent())
    found = index.find_index(subject_of(opened))
    assert found.about == made.about and made.n_resumed == 0
    silent = 0
    for layer in range(2):
        x, read = all_activations(opened, windows, layer), found.layer(layer)
        signs = [1.0] if opened.basis.is_sparse else [1.0, -1.0]
        assert read.arrays["values"].shape[1] == len(signs)
        silent += (
            int((x == 0).all((0, 1)).sum()) if len(signs) == 2 else int((x <= 0).all((0, 1)).sum())
        )
        for number, sign in enumerate(signs):
            best = np.sort(np.maximum(sign * x, 0).max(1), axis=0)[::-1][:N_PLACES].T
            np.testing.assert_allclose(read.arrays["values"][:, number], best, atol=1e-5)
            for feature, places in enumerate(read.arrays["places"][:, number]):
                for place, value in zip(places, best[feature], strict=True):
                    assert (place < 0) == (value == 0)
                    if place >= 0:
                        row, pos = divmod(int(place), 16)
                        at = sign * x[row, pos - windows.n_prefix, feature]
                        assert at == pytest.approx(value, abs=1e-5)
            size = sign * x[:, :: 1 if opened.basis.is_sparse else 4]
            bins = np.clip(np.searchsorted(EDGES, size, "right") - 1, 0, None)
            for feature in range(x.shape[2]):
                mine = bins[..., feature][size[..., feature] > 0]
                counts = np.bincount(mine, minlength=len(EDGES))
                assert np.abs(counts - read.arrays["counts"][feature, number]).sum() <= 2
    assert made.n_silent == silent


def test_a_killed_index_is_gone_on_with_and_is_the_same_to_the_last_bit(
    opened, windows, own_measurements, monkeypatch
):
    build.make_index(opened, request_of(windows), Silent())
    whole = layers_of(opened)
    folder = own_measurements.with_name("other")
    monkeypatch.setattr("tracer.engine.feature_index.entries.root", lambda: folder)
    monkeypatch.setattr(build, "EVERY", 0.0)
    with pytest.raises(Killed):
        build.make_index(opened, request_of(windows), KilledAfter(8))
    assert index.find_index(subject_of(opened)) is None
    made = build.make_index(opened, request_of(windows), Silent())
    assert made.n_resumed == 8
    assert_same(whole, layers_of(opened))
    monkeypatch.setattr(type(opened.model), "read", lambda *_: pytest.fail("made again"))
    assert build.make_index(opened, request_of(windows), Silent()).n_resumed == len(windows)


@pytest.mark.parametrize("opened", ["neurons", "clt"], indirect=True)
def test_layers_in_groups_give_the_same(opened, windows, own_measurements, monkeypatch):
    build.make_index(opened, request_of(windows), Silent())
    whole = layers_of(opened)
    folder = own_measurements.with_name("other")
    monkeypatch.setattr("tracer.engine.feature_index.entries.root", lambda: folder)
    monkeypatch.setattr(build, "BUDGET", 1)
    monkeypatch.setattr(build, "_AT_ONCE", 1)
    build.make_index(opened, request_of(windows), Silent())
    for mine, theirs in zip(whole, layers_of(opened), strict=True):
        np.testing.assert_allclose(mine["values"], theirs["values"], atol=1e-5)


@pytest.mark.parametrize("opened", ["neurons"], indirect=True)
def test_a_full_disk_and_spoilt_entries(opened, windows, own_measurements, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("tracer.engine.store.write_bytes", full)
        with pytest.raises(UsageError, match="the index cannot be kept here .No space left"):
            build.make_index(opened, request_of(windows), Silent())
    build.make_index(opened, request_of(windows), Silent())
    whole, folder = layers_of(opened), own_measurements.with_name("kept-indexes")
    for path in sorted(folder.rglob("*.safetensors")):
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        found = index.find_index(subject_of(opened))
        assert found is None or any(found.layer(n) is None for n in range(2)) or b"n_done" in data
        path.unlink()
        build.make_index(opened, request_of(windows), Silent())
        assert_same(whole, layers_of(opened))


def test_a_place_is_told_with_its_article_and_nothing_of_another(opened, windows):
    build.make_index(opened, request_of(windows), Silent())
    found, tokenizer = index.find_index(subject_of(opened)), opened.model.tokenizer
    asked = [index.AskedFeature(layer, n, False, ()) for layer in range(2) for n in range(20)]
    n_told = 0
    for each, told in zip(asked, found.features(asked, 2), strict=True):
        arrays = found.layer(each.layer).arrays
        places = arrays["places"][each.feature, 0]
        assert told.share == arrays["counts"][each.feature, 0].sum() / found.about.n_counted
        for place, at in zip(places, told.places, strict=False):
            row, pos = divmod(int(place), 16)
            ids = windows.ids[row]
            assert at.token == token_text(int(ids[pos]), tokenizer)
            assert at.title == windows.of(row, pos).title
            passage = windows.passage(row, pos)
            own = [token_text(int(token), tokenizer) for token in ids[passage]]
            assert at.before + at.token + at.after in "".join(own)
            assert "<bos>" not in at.before
            n_told += 1
    assert n_told and told.text == "cities, CC BY-SA"


def test_a_character_of_several_tokens_is_told_as_a_whole(model, tmp_path):
    (tmp_path / "a.txt").write_text("the café – “Dallas” is in Texas ☃☃ " * 9)
    windows = read_windows(
        find_texts([str(tmp_path / "a.txt")]), model.tokenizer, Silent(), length=64, at_most=10**6
    )
    opened = Opened(model, OpenBasis(basis_of("neurons", model, tmp_path), "neurons", None, None))
    build.make_index(opened, request_of(windows), Silent())
    found = index.find_index(subject_of(opened))
    asked = [index.AskedFeature(0, n, sign, ()) for n in range(64) for sign in (False, True)]
    whole = 0
    for told in found.features(asked, 3):
        for place in told.places:
            text = place.before + place.token + place.after
            assert "\ufffd" not in text.strip("\ufffd")
            assert len(place.token) or pytest.fail("nothing is marked")
            whole += place.token in ("é", "–", " “", "“", "”", "☃☃", "☃")
    assert whole


@pytest.mark.parametrize("opened", ["neurons", "clt"], indirect=True)
def test_shares_above_an_activation(opened, windows):
    build.make_index(opened, request_of(windows), Silent())
    found = index.find_index(subject_of(opened)).layer(0)
    x = all_activations(opened, windows, 0)[:, :: 1 if opened.basis.is_sparse else 4]
    assert found.n_counted == x.shape[0] * x.shape[1]
    for size in (0.01, 0.7, 3.0):
        lower = max(edge for edge in EDGES if edge <= size)
        shares = found.shares_above(np.full(x.shape[2], size, np.float32), 0)
        np.testing.assert_allclose(shares, (x >= lower).mean((0, 1)), atol=0.01)


def test_the_rule_of_the_label():
    assert automatic_label([" Dallas", "x", "dallas", " y", "x"], (" Austin", " Aus")) == (
        "on Dallas · x → Austin · Aus"
    )
    assert automatic_label([" a", "b"], ()) == "on a …"
    assert automatic_label([], (" a",)) == "→ a"
    assert automatic_label([], ()) == ""
    assert automatic_label(["\n", "\n"], ()) == "on \\n"
    effects = LogitEffects(
        (LogitEffect("a", 5.0), LogitEffect("b", 4.9)), (LogitEffect("c", -6.0),)
    )
    assert effects.clear() == ("a",)
    assert effects.at(-1.0).clear() == ("c",)
