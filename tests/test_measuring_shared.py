"""Active features and their overlap, counted again by hand."""

import math

import numpy as np
import pytest
import torch

from tests.bench import TINY, make_bench
from tracer.engine.clean import clean_run
from tracer.engine.measure.shared import _active, _overlap, measure_shared
from tracer.engine.model.sites import Site
from tracer.hypothesis.studies.shared import SharedSpec

TRANSLATIONS = (("en_a", "fr_a", "zh_a"), ("en_b", "fr_b", "zh_b"))
PROMPTS = {
    "en_a": {"text": "the capital of Texas"},
    "fr_a": {"text": "Texas, la capitale"},
    "zh_a": {"text": "Texas 的首都"},
    "en_b": {"text": "the language of California"},
    "fr_b": {"text": "California, la langue"},
    "zh_b": {"text": "California 的语言"},
}
EXPECT = [{"overlap": [0, 1], "above": 0.01}]


def shared_bench(folder, **spec):
    section = {"pair": {"translations": TRANSLATIONS, "expect": EXPECT, **spec}}
    keys = ("hypothesis", "claim")
    only = {key: TINY[key] for key in keys} | {"prompts": PROMPTS, "shared": section}
    return make_bench(folder, hypothesis=only)


def by_hand(bench, prompt, positions, share):
    """The strongest neurons of each layer by |activation| × ‖row of W_out‖, as sets."""
    seen = {}
    hooks = [(Site("mlp_hidden", n), lambda x, n=n: seen.__setitem__(n, x[0])) for n in (0, 1)]
    with torch.no_grad():
        bench.model.forward(bench.clean[prompt].ids, hooks)
    sets = []
    for layer, hidden in sorted(seen.items()):
        norms = bench.model.W_out(layer).norm(dim=1)
        strength = (hidden[positions].abs() * norms).max(dim=0).values.tolist()
        n = math.ceil(share * len(strength))
        sets.append(set(sorted(range(len(strength)), key=lambda f: -strength[f])[:n]))
    return sets


def test_the_strongest_neurons_of_every_token_but_special_ones(tiny):
    bench = shared_bench(tiny, active=0.1)
    found = measure_shared(bench, "pair", lambda n: None)
    overlaps = found.arrays["shared/pair/overlap"]
    assert found.record.pairs == ((0, 1), (0, 2), (1, 2))
    assert overlaps.shape == (3, 2, 2, 2)
    assert found.record.n_active == (7.0, 7.0)
    for pair, (one, other) in enumerate(found.record.pairs):
        for i, first in enumerate(TRANSLATIONS):
            for j, second in enumerate(TRANSLATIONS):
                a = by_hand(bench, first[one], slice(1, None), 0.1)
                b = by_hand(bench, second[other], slice(1, None), 0.1)
                wanted = [len(x & y) / len(x | y) for x, y in zip(a, b, strict=True)]
                assert overlaps[pair, :, i, j].tolist() == pytest.approx(wanted)


def test_a_span_alone(tiny):
    bench = shared_bench(tiny, active=0.1, at="last")
    [first, _] = _active(bench, bench.hypothesis.studies_of(SharedSpec)["pair"], "en_a")
    assert set(np.flatnonzero(first).tolist()) == by_hand(bench, "en_a", [-1], 0.1)[0]


def test_a_dictionary_is_active_where_it_fires(tiny, monkeypatch):
    bench = shared_bench(tiny)
    monkeypatch.setattr(bench.basis, "is_sparse", True)
    monkeypatch.setattr(bench.basis, "encode", lambda layer, x: x.clamp_min(0))
    run = clean_run(bench.model, bench.basis, bench.clean["en_a"].prompt, range(1, 5))
    [first, _] = _active(bench, bench.hypothesis.studies_of(SharedSpec)["pair"], "en_a")
    assert first.tolist() == (run.activations[0] > 0).any(0).tolist()


def test_nothing_active_has_no_overlap():
    nothing = np.zeros(4, dtype=bool)
    assert math.isnan(_overlap(nothing, nothing))
    assert _overlap(nothing, ~nothing) == 0
