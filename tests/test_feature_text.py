"""Where features fire: the same as looking at every activation of every prompt."""

import pytest
from heard import Heard

from tracer.engine.clean import clean_run
from tracer.engine.feature_text import Signed, firings, on_text
from tracer.engine.features.open import OpenBasis
from tracer.engine.session import Opened
from tracer.record.feature_card import Line

FEATURES = [Signed((0, 3), 1), Signed((1, 5), -1), Signed((1, 7), 1)]


@pytest.fixture
def prompts(bench):
    return [run.prompt for run in bench.clean.values()]


def by_hand(bench, prompts, feature, sign):
    """(activation, prompt, token id) at each prompt's strongest token after the first."""
    layer, index = feature
    found = []
    for prompt in prompts:
        run = clean_run(bench.model, bench.basis, prompt, range(len(prompt.ids)))
        values = (sign * run.activations[layer][1:, index]).tolist()
        best = max(values)
        if best > 0:
            found.append((sign * best, prompt.name, prompt.ids[1 + values.index(best)]))
    return sorted(found, key=lambda each: -abs(each[0]))


def test_the_strongest_prompts_come_first_with_the_token(bench, prompts):
    fires = firings(bench.model, bench.basis, FEATURES, prompts, 2)
    found = [fires[each] for each in FEATURES]
    assert any(found)
    for each, (feature, sign) in zip(found, FEATURES, strict=True):
        wanted = by_hand(bench, prompts, feature, sign)[:2]
        assert [one.prompt for one in each] == [name for _, name, _ in wanted]
        assert [one.activation for one in each] == pytest.approx([a for a, _, _ in wanted])
        tokens = [bench.model.tokenizer.decode([token]) for *_, token in wanted]
        assert [one.token for one in each] == tokens


def test_a_line_that_begins_with_bos_has_one_and_it_is_told(bench):
    heard = Heard()
    opened = Opened(bench.model, OpenBasis(bench.basis, "neurons", None, None))
    lines = [Line(1, "the capital of Texas"), Line(2, "<bos>the capital of Texas")]
    one, both = (on_text(opened, [(0, 3)], some, 2, heard)[0] for some in (lines[:1], lines))
    assert both.n_tokens == 2 * one.n_tokens
    assert heard.notes == ["lines that begin with a special token, which is put there once: 1"]
