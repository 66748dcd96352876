"""Attention patterns that are set and read, by hand with TransformerLens."""

import numpy as np
import pytest
import torch

import tracer
from tests.bench import ATOL
from tests.test_heads import HEADS_FILE, open_heads, run
from tracer.engine.batches import Row
from tracer.engine.pattern_clamps import (
    looks_of,
    pattern_controls,
    pattern_problem,
    pattern_records,
    patterns,
    resolve_patterns,
    unclamped_weight,
    written_at_end,
)
from tracer.engine.patterns import Knockout, Look
from tracer.errors import HypothesisError, UsageError
from tracer.hypothesis.spec import Hypothesis


def file_with(*attention, expect=None, prompts=("dallas", "plano"), **more):
    """A file whose one intervention sets these patterns."""
    spec = {"prompts": list(prompts), "attention": list(attention), **more}
    spec["expect"] = expect or [{"logit_diff": [" Austin", " Sacramento"], "below": 100}]
    nodes = {"found": HEADS_FILE["supernodes"]["found"]}
    used = {"prompts": ["dallas"], "clamp": {"found": 0}, "expect": [{"top_is_not": " Austin"}]}
    return HEADS_FILE | {"supernodes": nodes, "interventions": {"it": spec, "used": used}}


def opened(model, *attention, **more):
    context = open_heads(model, file_with(*attention, **more))
    return context, context.hypothesis.interventions["it"]


def by_hand(model, ids, name, change):
    """Last logits with a tensor of every layer's attention changed by a function."""
    bridge = model._bridge
    hooks = [
        (f"blocks.{layer}.attn.{name}", lambda x, hook, layer=layer: change(x.clone(), layer))
        for layer in range(model.n_layers)
    ]
    with torch.no_grad(), bridge.hooks(fwd_hooks=hooks):
        return bridge.original_model(ids[None]).logits[0, -1]


KNOCKOUT = {"heads": ["0.1", "1.3"], "from": "last", "to": "city", "set": 0}


def test_a_knockout_is_a_masked_score_by_hand(each_model):
    # The first layer of some looks only eight tokens back: the city is nine away.
    near = KNOCKOUT | {"to": "near"}
    prompts = {
        name: each | {"spans": {"near": " in the"}} for name, each in HEADS_FILE["prompts"].items()
    }
    context = open_heads(each_model, file_with(near) | {"prompts": prompts})
    spec = context.hypothesis.interventions["it"]
    clean = context.clean["dallas"]
    start, stop = clean.prompt.spans["near"]

    def mask(scores, layer):
        scores[:, (1, 3)[layer], -1, start:stop] = torch.finfo(scores.dtype).min
        return scores

    edits = resolve_patterns(context, spec, "dallas")
    assert pattern_problem(context, edits, "dallas") is None
    [(logits, _)] = run(context, [Row({}, patterns=edits)])
    wanted = by_hand(each_model, clean.ids, "hook_attn_scores", mask)
    assert torch.allclose(logits, wanted, atol=ATOL)
    assert not torch.allclose(logits, clean.logits, atol=1e-3)


def test_kept_weights_stay_as_they_were(bench):
    context, spec = opened(bench.model, KNOCKOUT | {"heads": ["1.3"], "keep": True})
    clean = context.clean["dallas"]
    start, stop = clean.prompt.spans["city"]

    def zero(pattern, layer):
        if layer == 1:
            pattern[:, 3, -1, start:stop] = 0
        return pattern

    [(logits, _)] = run(context, [Row({}, patterns=resolve_patterns(context, spec, "dallas"))])
    wanted = by_hand(context.model, clean.ids, "hook_pattern", zero)
    assert torch.allclose(logits, wanted, atol=ATOL)


def test_another_prompts_pattern_is_put_in_for_all_queries_or_some(bench):
    for span in (None, "last"):
        clamp = {"heads": ["0.2"], "like": "oakland", "from": span}
        context, spec = opened(bench.model, clamp)
        clean, kept = context.clean["dallas"], {}
        by_hand(
            context.model,
            context.clean["oakland"].ids,
            "hook_pattern",
            lambda x, layer, kept=kept: kept.setdefault(layer, x.clone()),
        )
        first = 0 if span is None else -1

        def put_in(pattern, layer, kept=kept, first=first):
            if layer == 0:
                pattern[:, 2, first:] = kept[0][:, 2, first:]
            return pattern

        [(logits, _)] = run(context, [Row({}, patterns=resolve_patterns(context, spec, "dallas"))])
        wanted = by_hand(context.model, clean.ids, "hook_pattern", put_in)
        assert torch.allclose(logits, wanted, atol=ATOL)


def test_rows_with_patterns_are_the_same_in_a_batch_and_one_by_one(bench):
    context, _ = opened(bench.model, KNOCKOUT | {"heads": ["1.3"]})
    n = len(context.clean["dallas"].ids)
    looks = (Look(((1, 0), (1, 3)), (n - 1, n), (6, 8)), Look(((0, 1),), (4, 6), (0, 3)))
    where = context.places("dallas")["found"]
    rows = [
        Row({}, patterns=[Knockout(1, 3, (n - 1, n), (6, 8))], looks=looks),
        Row({tuple(each): 0.0 for each in where.tolist()}, looks=looks),
        Row({}, patterns=[Knockout(0, 2, (5, n), (2, 4)), Knockout(1, 0, (7, 9), (1, 2), True)]),
        Row({}, "attention", patterns=[Knockout(1, 1, (n - 1, n), (3, 4))], looks=looks[:1]),
        Row({}, looks=looks),
    ]
    together = run(context, rows)
    for row, (logits, _) in zip(rows, together, strict=True):
        [(alone, _)] = run(context, [row])
        assert torch.allclose(logits, alone, atol=ATOL)
    assert torch.allclose(together[-1][0], context.clean["dallas"].logits, atol=ATOL)


def test_a_weight_is_the_patterns_own_sum(bench):
    expect = [
        {"attends": {"head": "1.3", "from": "last", "to": "city"}, "below": 1.0},
        {"attends": {"head": "found", "from": "last", "to": "city"}, "rises_by": 0.5},
    ]
    context, spec = opened(bench.model, KNOCKOUT | {"heads": ["1.0"]}, expect=expect)
    clean, kept = context.clean["dallas"], {}
    by_hand(
        context.model, clean.ids, "hook_pattern", lambda x, layer: kept.setdefault(layer, x.clone())
    )
    start, stop = clean.prompt.spans["city"]
    looks = looks_of(context, spec, "dallas")
    assert list(looks) == ["1.3 last → city", "found last → city"]
    found = [
        float(kept[ref.layer][0, ref.head, -1, start:stop].sum())
        for ref in context.supernodes["found"].heads
    ]
    one, several = (unclamped_weight(context, each, "dallas") for each in looks.values())
    assert one == pytest.approx(float(kept[1][0, 3, -1, start:stop].sum()), abs=1e-6)
    assert several == pytest.approx(np.mean(found), abs=1e-6)


def test_what_a_pattern_writes_directly_is_the_heads_change_alone(each_model):
    clamp = {"heads": ["1.3"], "from": "last", "to": "state", "set": 0}
    prompts = {
        name: each | {"spans": {"state": " the state"}}
        for name, each in HEADS_FILE["prompts"].items()
    }
    context = open_heads(each_model, file_with(clamp) | {"prompts": prompts})
    edits = resolve_patterns(context, context.hypothesis.interventions["it"], "dallas")
    found = written_at_end(context, edits, "dallas")
    start, stop = context.clean["dallas"].prompt.spans["state"]
    kept = {}

    def mask(pattern, layer):
        if layer == 1:
            pattern[:, 3, -1, start:stop] = 0
            pattern[:, 3, -1] /= pattern[:, 3, -1].sum()
        return pattern

    bridge = each_model._bridge
    hooks = [
        ("blocks.1.attn.hook_pattern", lambda x, hook: mask(x.clone(), 1)),
        ("blocks.1.attn.hook_z", lambda x, hook: kept.setdefault("z", x.clone())),
    ]
    with torch.no_grad(), bridge.hooks(fwd_hooks=hooks):
        bridge.original_model(context.clean["dallas"].ids[None])
    assert found is not None
    # Nothing before the second layer's attention has changed, so its values are clean.
    wanted = kept["z"][0, -1].reshape(4, -1)[3]
    assert torch.allclose(torch.from_numpy(found.value).float(), wanted, atol=ATOL)


def test_the_record_says_how_much_weight_moved(bench):
    context, spec = opened(bench.model, KNOCKOUT | {"heads": ["1.3"]})
    weights = patterns(context, "dallas")[1][3, -1]
    start, stop = context.clean["dallas"].prompt.spans["city"]
    [record] = pattern_records(context, spec, "dallas")
    # What is taken from the keys goes to the others: half of all that changes.
    assert record.moved == pytest.approx(float(weights[start:stop].sum()), abs=1e-6)
    assert (record.words, record.heads) == ("1.3 last ↛ city", ("1.3",))


def test_controls_are_other_heads_or_other_keys_and_none_comes_twice(bench):
    context, spec = opened(bench.model, KNOCKOUT | {"heads": ["1.3"]})
    clean = context.clean["dallas"]
    start, stop = clean.prompt.spans["city"]
    controls = pattern_controls(context, spec, "dallas", context.members([]), 999, "seed")
    found = {(edit.layer, edit.head, edit.queries, edit.keys) for [edit] in controls}
    n, length = len(clean.ids), stop - start
    runs = [(at, at + length) for at in range(1, n - length + 1)]
    other = [run for run in runs if run[1] <= start or run[0] >= stop]
    last = (n - 1, n)
    wanted = {(1, head, last, run) for head in range(3) for run in [*other, (start, stop)]}
    wanted |= {(1, 3, last, run) for run in other}
    assert found == wanted and len(controls) == len(wanted)
    drawn = pattern_controls(context, spec, "dallas", {}, 7, "seed")
    some = {(edit.head, edit.keys) for [edit] in drawn}
    assert len(some) == 7 and (3, (start, stop)) not in some
    assert drawn == pattern_controls(context, spec, "dallas", {}, 7, "seed")


@pytest.mark.parametrize(
    ("clamp", "where", "said"),
    [
        (
            KNOCKOUT | {"from": "city", "to": "last"},
            "interventions.it.attention[0].to",
            "on prompts 'dallas', 'plano': 'last' comes after 'city', and a token sees",
        ),
        (
            {"heads": ["0.1"], "like": "long"},
            "interventions.it.attention[0].like",
            "a pattern fits a prompt of its own length",
        ),
        (KNOCKOUT | {"heads": ["5.1"]}, "interventions.it.attention[0].heads[0]", "layer 5 is out"),
        (KNOCKOUT | {"heads": "texas"}, "interventions.it.attention[0].heads", "'texas'"),
        ({"heads": ["0.1"]}, "interventions.it.attention[0]", "it has neither `set` nor `like`"),
        (
            KNOCKOUT | {"to": None},
            "interventions.it.attention[0]",
            "a knockout is `from` a span of queries `to` a span of keys",
        ),
    ],
)
def test_a_mistake_is_told_at_its_place(bench, clamp, where, said):
    data = file_with(clamp)
    if clamp.get("like"):
        data["prompts"] = data["prompts"] | {"long": {"text": "the city of Dallas is in Texas"}}
    with pytest.raises(HypothesisError) as error:
        open_heads(bench.model, data)
    found = {mistake.where: mistake.message for mistake in error.value.mistakes}
    assert said in found[where]


def test_beyond_a_window_nothing_is_knocked_out_and_the_reason_is_told(tiny, tmp_path):
    attends = {"attends": {"head": "0.1", "from": "last", "to": "start"}, "rises_by": 0.1}
    data = file_with(KNOCKOUT | {"heads": ["0.1"], "to": "start"}, expect=[attends])
    for prompt in data["prompts"]:
        data["prompts"] = data["prompts"] | {
            prompt: data["prompts"][prompt] | {"spans": {"start": "the capital"}}
        }
    made = tracer.run(
        Hypothesis.model_validate(data | {"model": str(tiny)}), reports=tmp_path, cache=False
    )
    reasons = {each.intervention: each.reason for each in made.verdict.outcomes}
    assert "gives these keys a weight of exactly 0: its window does not reach" in reasons["it"]


def test_attends_is_judged_with_its_controls_and_shown(tiny, tmp_path):
    asked = {"head": "1.0", "from": "last", "to": "city"}
    expect = [
        {"attends": asked, "below": 0.99},
        {"attends": asked, "falls_by": 0.0},
        {"attends": asked, "beats_controls": 0.5},
        {"attends": asked, "undercuts_controls": 0.001},
    ]
    knockout = KNOCKOUT | {"heads": ["1.0"]}
    data = file_with(knockout, expect=expect) | {"model": str(tiny)}
    made = tracer.run(Hypothesis.model_validate(data), reports=tmp_path, cache=False)
    trial = made.record.interventions["it"].trials["dallas"]
    weight = trial.attends["1.0 last → city"]
    assert weight.clamped == 0 and weight.unclamped > 0
    outcomes = [each for each in made.verdict.outcomes if each.intervention == "it"]
    by = {(each.expected.split(" on ")[0], each.split): each for each in outcomes}
    # Below 0.99 it is without the knockout as well.
    assert by["< 0.99", "discovery"].outcome == "vacuous"
    own = by["falls by > 0.00", "discovery"]
    assert own.outcome == "vacuous"
    assert own.reason == "the intervention sets the pattern of 1.0 itself"
    beats = by["above controls, p ≤ 0.50", "discovery"]
    theirs = made.arrays["controls/it/dallas/attends"][:, 0]
    assert beats.p == pytest.approx((1 + (theirs >= 0).sum()) / (len(theirs) + 1))
    assert beats.outcome == "failed"
    few = by["below controls, p ≤ 0.001", "discovery"]
    assert few.outcome == "untested"
    assert "999 controls are needed for p ≤ 0.001; no more than" in (few.reason or "")
    assert "other sets of heads or keys exist" in (few.reason or "")
    page = (made.path / "report.html").read_text()
    assert "1.0 last ↛ city" in page and "attention of 1.0 from last to city" in page
    prompt = made.record.prompts["dallas"]
    start, stop = prompt.spans["city"]
    assert len(weight.attention) == len(prompt.tokens)
    assert sum(weight.attention) == pytest.approx(1, abs=1e-3)
    assert sum(weight.attention[start:stop]) == pytest.approx(weight.unclamped, abs=1e-4)
    assert "1.0 last → city, " in page and "unclamped, 0 % clamped" in page


def test_a_weight_is_expected_of_ablations_and_checked_the_same(tiny, tmp_path):
    asked = {"head": "1.0", "from": "last", "to": "city"}
    study = {
        "prompts": ["dallas", "plano"],
        "ablate": ["texas"],
        "kinds": ["zero", "inhibit"],
        "expect": [{"attends": asked, "falls_by": 0.5}],
    }
    nodes = {"texas": HEADS_FILE["supernodes"]["texas"]}
    data = HEADS_FILE | {"model": str(tiny), "supernodes": nodes, "interventions": {}}
    data["necessity"] = {"it": study}
    made = tracer.run(Hypothesis.model_validate(data), reports=tmp_path, cache=False)
    assert [each.outcome for each in made.verdict.outcomes] == ["failed", "failed"]
    assert "1.0 last → city" in made.record.interventions["it.zero"].trials["dallas"].attends
    study["expect"] = [{"attends": asked | {"head": "1.7"}, "falls_by": 0.5}]
    with pytest.raises(HypothesisError, match=r"'1\.7': layer 1 has heads 0 to 3"):
        tracer.run(Hypothesis.model_validate(data), reports=tmp_path, cache=False)
    again = Hypothesis.model_validate(data)
    with pytest.raises(UsageError, match="the attention 1.7 last → city was not read on dallas"):
        made.judge(again)


def test_what_is_remembered_is_what_is_measured(tiny, tmp_path):
    asked = {"head": "found", "from": "last", "to": "city"}
    expect = [{"attends": asked, "undercuts_controls": 0.1}]
    data = file_with(KNOCKOUT | {"heads": "found"}, expect=expect) | {"model": str(tiny)}
    hypothesis = Hypothesis.model_validate(data)
    first = tracer.run(hypothesis, reports=tmp_path, fresh=True)
    second = tracer.run(hypothesis, reports=tmp_path, fresh=True)
    assert "it/dallas" in second.record.cached and "it/dallas" not in first.record.cached
    trials = [each.record.interventions["it"].trials["dallas"] for each in (first, second)]
    assert trials[0] == trials[1]
    for name, array in first.arrays.items():
        assert np.array_equal(array, second.arrays[name])
