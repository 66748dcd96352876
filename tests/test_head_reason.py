"""Why a head looks there, asked of a graph that was read from a file, and how it is told."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import torch

from tests.opened import attributed_of, open_tiny
from tests.records import make_record
from tracer.cli.graph_why import print_reason
from tracer.engine.attribution.graph import with_head_nodes
from tracer.engine.attribution.query_key import qk_attribution
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.head_reason import asked_prompt, head_reason, refrozen
from tracer.engine.progress import Silent
from tracer.errors import UsageError
from tracer.hypothesis.heads import HeadName
from tracer.record.graph.graph import listed, source_ids
from tracer.record.graph.head_reason import HeadQuestion
from tracer.record.graph.prune import prune
from tracer.record.trials import FeatureTokens
from tracer.report.head_reason import (
    LEVELS,
    MOST_TOKENS,
    attention_row,
    node_name,
    pattern_data,
    reason_sentence,
    reason_tables,
    recorded_row,
)
from tracer.report.screen import Screen

ASKED = HeadQuestion(HeadName(1, 2), 13, 7, "mean")


@pytest.fixture(scope="module")
def opened(tiny):
    model = open_tiny(tiny)
    basis = NeuronBasis(model)
    return model, basis, attributed_of(model, basis, 40)


def test_a_graph_that_was_kept_is_asked_anew(opened):
    model, basis, taken = opened
    kept = listed(prune(taken.graph, 0.6, 0.9))
    assert kept.nodes.n_features < 40
    found = head_reason(model, refrozen(model, basis, kept), ASKED, {})
    whole = head_reason(model, asked_prompt(taken), ASKED, {})
    assert found.total == pytest.approx(whole.total, abs=1e-4)
    np.testing.assert_allclose(found.pattern, whole.pattern, atol=1e-6)
    marginals = qk_attribution(model, taken.nodes, *ASKED).key_marginals
    ids = source_ids(taken.graph.nodes, taken.graph.subject)
    there = set(kept.nodes.feature_ids())
    for each in found.key_side:
        if each.id in there:
            assert each.part == pytest.approx(float(marginals[ids.index(each.id)]), abs=1e-4)
    assert found.n_nodes < whole.n_nodes


def test_heads_that_are_nodes_have_parts_and_names(opened):
    model, basis, taken = opened
    plain = head_reason(model, asked_prompt(taken), ASKED, {})
    with_heads = with_head_nodes(taken, 10**6, Silent())
    found = head_reason(model, asked_prompt(with_heads), ASKED, {})
    assert found.total == pytest.approx(plain.total, abs=1e-4)
    [name, *_] = [each.id for each in found.query_side if "_head_" in each.id]
    layer, head = name.split("_head_")[0], name.split("_")[2]
    subject = with_heads.graph.subject
    assert node_name(name, subject, {}).startswith(f"L{layer} head {head} on ")
    screen = Screen(buffer := StringIO(), width=80)
    print_reason(screen, found, subject)
    assert f"head {layer}.{head} " in buffer.getvalue() and "_head_" not in buffer.getvalue()
    kept = listed(prune(with_heads.graph, 0.9, 0.9))
    assert kept.nodes.n_heads
    again = head_reason(model, refrozen(model, basis, kept), ASKED, {})
    assert again.total == pytest.approx(plain.total, abs=1e-4)


def test_groups_are_sums_over_their_members(opened):
    model, _, taken = opened
    prompt = asked_prompt(taken)
    groups = {"a": prompt.ids[:9], "b": prompt.ids[20:31], "absent": ("99_9_9",)}
    found = head_reason(model, prompt, ASKED, {}, groups)
    exact = qk_attribution(model, taken.nodes, *ASKED)
    rows = {"a": torch.arange(9), "b": torch.arange(20, 31)}
    assert [each.name for each in found.groups] == ["a", "b", None]
    for name, query, key in found.groups[:2]:
        assert query == pytest.approx(float(exact.query_marginals[rows[name]].sum()), abs=1e-5)
        assert key == pytest.approx(float(exact.key_marginals[rows[name]].sum()), abs=1e-5)
    for side in (1, 2):
        assert sum(each[side] for each in found.groups) == pytest.approx(found.total, abs=1e-4)
    for query, key, part in found.group_pairs:
        wanted = float(exact.pairs(rows[query], rows[key]).sum())
        assert part == pytest.approx(wanted, abs=1e-5)


def test_features_are_described_once(opened):
    model, _, taken = opened
    prompt = asked_prompt(taken)
    found = head_reason(model, prompt, ASKED, {})
    assert found.features
    name = next(iter(found.features))
    told = FeatureTokens(promotes=("known",), suppresses=())
    again = head_reason(model, prompt, ASKED, {name: told})
    assert again.features == found.features | {name: told}
    assert "known" in node_name(name, taken.graph.subject, again.features)


def test_a_graph_of_other_weights_is_a_sentence(opened):
    model, basis, taken = opened
    other = replace(taken.graph.subject, fingerprint="0" * 64)
    with pytest.raises(UsageError, match="its weights are not those of"):
        refrozen(model, basis, listed(replace(taken.graph, subject=other)))


def test_a_sentence_tells_the_difference_and_tables_close(opened):
    model, _, taken = opened
    subject = taken.graph.subject
    found = head_reason(model, asked_prompt(taken), ASKED, {})
    paid = 100 * found.pattern[13, 7]
    sentence = reason_sentence(found, subject)
    assert "head 1.2 looks from ' Texas' (13) at ' Dallas' (7)" in sentence
    assert f"{paid:.1f} %" in sentence or f"{paid:.0f} %" in sentence
    assert "the difference to the mean by attention" in sentence
    tables = reason_tables(found, subject)
    for rows in (tables.query_side, tables.key_side):
        whole = sum(float(row.part.replace("−", "-")) for row in rows)
        assert whole == pytest.approx(found.total, abs=0.05)
    assert tables.groups == ()


def test_a_long_pattern_is_cut_to_what_is_looked_at(opened):
    model, _, taken = opened
    found = head_reason(model, asked_prompt(taken), ASKED, {})
    n = MOST_TOKENS + 30
    pattern = np.tril(np.ones((n, n), dtype=np.float32))
    pattern /= pattern.sum(1, keepdims=True)
    pattern[n - 1] = np.linspace(0, 1, n)  # the last looks at late ones most
    long = replace(found, pattern=pattern, asked=ASKED._replace(query=n - 1, key=3))
    subject = replace(taken.graph.subject, tokens=tuple(f" t{i}" for i in range(n)))
    data = pattern_data(long, subject)
    assert data["positions"] == [3, *range(n - MOST_TOKENS + 1, n)]
    assert f"the {MOST_TOKENS} of {n} tokens" in data["cut"]
    assert [len(row) for row in data["rows"]] == list(range(1, MOST_TOKENS + 1))


def test_a_row_says_what_is_looked_at_most():
    row = attention_row("from last", ["<bos>", " a", " b"], [0.75, 0.0, 0.25])
    assert row.strongest == "'<bos>' (0) 75 %, ' b' (2) 25 %"
    assert [each.level for each in row.tokens] == [4, 0, round(LEVELS / 2)]


@pytest.mark.parametrize("weights", [(), (0.5, float("nan")), (0.1,) * 99])
def test_a_row_that_was_not_kept_is_not_shown(weights):
    prompt = make_record()[0].prompts["dallas"]
    assert recorded_row(prompt, "1.0", weights) is None
    row = recorded_row(prompt, "1.0", [0.5] * 2)
    assert row is not None and len(row.tokens) == 2
