"""What is claimed of heads in a graph: by autograd on the model, and pair by pair."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.bench import TINY
from tests.opened import edges_by_autograd, open_tiny
from tests.test_head_loadings import detached
from tests.test_heads import open_heads
from tests.test_measuring_graphs import GRAPH, again, rows_of
from tests.test_patterns import by_hand
from tracer.engine.attribution.query_key import qk_attribution
from tracer.engine.measure.graph_heads import heads_cause
from tracer.engine.measure.graphs import measure_graphs
from tracer.engine.progress import Silent
from tracer.errors import HypothesisError
from tracer.hypothesis.heads import HeadName

TO_OUTPUT = {"from": "texas", "to": "output"}
TO_OTHER = {"from": "texas", "to": "california"}
TO_CITY = {"from": "last", "to": "city"}
LOOKS = TO_CITY | {"share_above": 0}
EXPECT = [
    {"carried": {"edge": TO_OUTPUT, "heads": ["1.2"], "share_above": 0}},
    {"carried": {"edge": TO_OUTPUT, "heads": ["1.2"], "beats_controls": 0.5}},
    {"carried": {"edge": TO_OUTPUT, "heads": "movers", "share_above": 0}},
    {"carried": {"edge": TO_OTHER, "heads": ["0.1", "1.0"], "share_above": 0}},
    {"because": LOOKS | {"head": "1.3", "key": "texas"}},
    {"because": LOOKS | {"head": "movers", "key": "texas", "query": "texas", "against": "early"}},
    {"attends": {"head": "1.3", "from": "last", "to": "city"}, "above": 0.1},
    {"attends": {"head": "movers", "from": "city", "to": "early"}, "beats_controls": 0.05},
    {"because": LOOKS | {"head": "0.0", "to": "start", "key": "texas"}},
]
MOVERS = [(0, 1), (1, 1), (1, 2)]


def file(expect=EXPECT):
    spans = {"spans": {"start": "the capital", "early": " containing"}}
    prompts = {name: each | spans for name, each in TINY["prompts"].items()}
    graph = GRAPH | {"check": 0, "expect": expect}
    movers = {"heads": [f"{layer}.{head}" for layer, head in MOVERS]}
    nodes = TINY["supernodes"] | {"movers": movers}
    text = "the capital of the state containing {city} is in the city of"
    return TINY | {"template": text, "prompts": prompts, "supernodes": nodes, "graph": graph}


@pytest.fixture(scope="module")
def measured(tiny):
    bench = open_heads(open_tiny(tiny), file())
    return bench, measure_graphs(bench, ["dallas"], Silent())["dallas"].record


def test_what_heads_carry_is_what_the_edge_loses_without_them(measured):
    bench, record = measured
    graph, ids = again(bench).graph, bench.clean["dallas"].ids
    whole = edges_by_autograd(bench.model, bench.basis, graph, ids)
    texas, other = rows_of(bench, graph, "texas"), rows_of(bench, graph, "california")
    ends = {"output": [graph.nodes.n_features], "california": other}

    def lost(heads, target):
        hooks = [hook for head in heads for hook in detached(*head)]
        less = whole - edges_by_autograd(bench.model, bench.basis, graph, ids, hooks)
        return float(less[np.ix_(ends[target], texas)].sum())

    asked = {
        "1.2 of texas → output": ([(1, 2)], "output"),
        "movers of texas → output": (MOVERS, "output"),
        "0.1, 1.0 of texas → california": ([(0, 1), (1, 0)], "california"),
    }
    assert list(record.carried) == list(asked)
    for key, (heads, target) in asked.items():
        found = record.carried[key]
        total = float(whole[np.ix_(ends[target], texas)].sum())
        if total == 0:
            assert found.share is None and "nothing is a share of it" in found.problem
            continue
        assert found.heads == tuple(f"{layer}.{head}" for layer, head in heads)
        assert found.whole == pytest.approx(total, abs=1e-5)
        assert found.part == pytest.approx(lost(heads, target), abs=1e-5)
        assert found.share == found.part / found.whole
    one = record.carried["1.2 of texas → output"]
    others = [lost([(1, head)], "output") / one.whole for head in (0, 1, 3)]
    assert (one.n_controls, one.is_every_set) == (3, True)
    assert one.n_as_high == sum(other >= one.share for other in others)
    assert one.n_as_low == sum(other <= one.share for other in others)
    assert one.control_median == pytest.approx(np.median(others), abs=1e-4)
    assert record.carried["movers of texas → output"].n_controls == 4 * 6 - 1


def test_a_reason_is_the_sum_of_its_pairs(measured):
    bench, record = measured
    taken, prompt = again(bench), bench.clean["dallas"].prompt
    texas = rows_of(bench, taken.graph, "texas")
    last, city = len(prompt.ids) - 1, prompt.spans["city"][1] - 1
    found = record.reasons["1.3 last → city (minus mean): all × texas"]
    assert (found.query, found.key, found.heads) == (last, city, ("1.3",))
    pattern = taken.nodes.frozen.blocks[1].pattern[3, last]
    np.testing.assert_allclose(found.attention, pattern[: last + 1], atol=1e-5)
    nodes = torch.arange(taken.nodes.constant + 1)
    pairs = qk_attribution(bench.model, taken.nodes, HeadName(1, 3), last, city, "mean")
    every = pairs.pairs(nodes, nodes).double()
    if found.share is None:
        assert float(every.sum()) <= 0 and "is no higher than that of mean" in found.problem
    else:
        assert found.whole == pytest.approx(float(every.sum()), abs=1e-4)
        assert found.part == pytest.approx(float(every[:, texas].sum()), abs=1e-4)
        assert found.share == pytest.approx(found.part / found.whole)
        assert found.n_controls == 99
    early = prompt.spans["early"][1] - 1
    both = record.reasons["movers last → city (minus early): texas × texas"]
    each = [
        qk_attribution(bench.model, taken.nodes, HeadName(*head), last, city, early).pairs(
            nodes, nodes
        )
        for head in MOVERS
    ]
    total = float(torch.stack(each).double().sum())
    if both.share is None:
        assert total <= 0 and both.whole == pytest.approx(total, abs=1e-4)
    else:
        part = sum(float(every[texas][:, texas].sum()) for every in each)
        assert both.part == pytest.approx(part, abs=1e-4)
        assert both.share == pytest.approx(part / total, abs=1e-4)


def test_a_look_is_a_sum_of_the_pattern_held_against_other_heads_and_keys(measured):
    bench, record = measured
    prompt, kept = bench.clean["dallas"].prompt, {}
    by_hand(
        bench.model,
        bench.clean["dallas"].ids,
        "hook_pattern",
        lambda x, layer: kept.setdefault(layer, x[0].clone()),
    )
    (first, last), n = prompt.spans["city"], len(prompt.ids)
    size = last - first

    def weight(head, start):
        return float(kept[1][head, -1, start : start + size].sum())

    one = record.looks["1.3 last → city"]
    assert (one.heads, one.whole, one.share) == (("1.3",), 1.0, one.part)
    assert one.share == pytest.approx(weight(3, first), abs=1e-6)
    runs = [at for at in range(1, n - size + 1) if at + size <= first or at >= last]
    theirs = [weight(head, at) for head in range(4) for at in runs]
    theirs += [weight(head, first) for head in range(3)]
    assert (one.n_controls, one.is_every_set) == (len(theirs), True)
    assert one.n_as_high == sum(other >= one.share for other in theirs)
    assert one.control_median == pytest.approx(np.median(theirs), abs=1e-6)
    start, stop = prompt.spans["early"]
    each = [kept[at][head, first:last, start:stop].sum(-1).mean() for at, head in MOVERS]
    assert record.looks["movers city → early"].share == pytest.approx(
        float(np.mean(each)), abs=1e-6
    )


def test_a_key_outside_of_the_window_has_no_reason(measured):
    found = measured[1].reasons["0.0 last → start (minus mean): all × texas"]
    assert found.share is None and "head 0.0 does not see position 2" in found.problem


def test_other_heads_and_spans_are_measured_anew(measured):
    bench, _ = measured
    before = heads_cause(bench, "dallas")
    fewer = bench.supernodes["movers"].model_copy(
        update={"heads": bench.supernodes["movers"].heads[:1]}
    )
    without = replace(bench, supernodes=dict(bench.supernodes) | {"movers": fewer})
    assert before != heads_cause(without, "dallas") and before == heads_cause(bench, "dallas")
    run = bench.clean["dallas"]
    spans = dict(run.prompt.spans) | {"early": (2, 3)}
    moved = replace(run, prompt=replace(run.prompt, spans=spans))
    elsewhere = replace(bench, clean=dict(bench.clean) | {"dallas": moved})
    assert before != heads_cause(elsewhere, "dallas")


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        ({"carried": {"edge": TO_OUTPUT, "heads": ["1.2", "9.1"], "share_above": 0}}, "layer 9"),
        ({"because": LOOKS | {"head": "1.7", "key": "texas"}}, "layer 1 has heads 0 to 3"),
        ({"attends": TO_CITY | {"head": "1.7"}, "above": 0}, "layer 1 has heads 0 to 3"),
        (
            {"attends": TO_CITY | {"head": "1.1", "from": "early"}, "above": 0},
            "comes after 'early'",
        ),
        (
            {"because": LOOKS | {"head": "1.0", "from": "early", "key": "texas"}},
            "to: on prompt 'dallas': 'city' comes after 'early', and a token sees none",
        ),
        (
            {
                "because": LOOKS
                | {"head": "1.0", "from": "city", "to": "early", "against": "last", "key": "texas"}
            },
            "against: on prompt 'dallas': 'last' comes after 'city'",
        ),
    ],
)
def test_a_head_or_key_that_cannot_be_is_told(tiny, expected, sentence):
    asked = file([EXPECT[2], expected])
    with pytest.raises(HypothesisError, match=rf"graph\.expect\[1\].*{sentence}"):
        open_heads(open_tiny(tiny), asked)
