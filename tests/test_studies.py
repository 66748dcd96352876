"""Studies from the declared object to the verdict, on the tiny model, against single clamps."""

import pytest

import tracer
from tests.bench import ATOL, TINY, logits_by_hand, make_bench
from tests.declared import GOOD, accepted, assert_mistake
from tests.records import AWAY, HYPOTHESIS, make_reading, make_record
from tracer.engine.clamps import assign, resolve_clamps
from tracer.evidence.judge import judge_run
from tracer.evidence.statistics import wilson
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.spec import Hypothesis

DIFF = [" Sacramento", " Austin"]
STUDIES = {
    "necessity": {
        "needed": {
            "prompts": ["dallas", "plano"],
            "ablate": ["texas"],
            "kinds": ["zero", "mean", "resample", "inhibit"],
            "reference": ["oakland", "fresno"],
            "expect": [
                {"logit_diff": DIFF, "rises_by": 0.05},
                {"logit_diff": DIFF, "above": -1.05, "mostly": 0.5},
            ],
        }
    },
    "mediation": {
        "through": {
            "prompts": ["dallas", "plano"],
            "clamp": {"texas": 40},
            "through": ["california"],
            "expect": [{"logit_diff": DIFF, "share_above": -5, "share_below": 5}],
        }
    },
}


def declared():
    """The tiny file with these studies and no intervention."""
    prompts = TINY["prompts"] | {"fresno": {"city": "Fresno"}}
    data = {key: value for key, value in TINY.items() if key != "interventions"}
    return data | {"prompts": prompts} | STUDIES


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    data = declared() | {"model": {"name": str(tiny), "device": "cpu"}}
    return tracer.run(Hypothesis.model_validate(data), reports=tmp_path_factory.mktemp("reports"))


def test_necessity_is_judged_by_its_weakest_kind(run):
    [rises, above] = [
        [o for o in run.verdict.outcomes if o.intervention == "needed"][n] for n in (0, 2)
    ]
    trials = {
        name.removeprefix("needed."): each.trials["dallas"]
        for name, each in run.record.interventions.items()
        if name.startswith("needed.")
    }
    assert set(trials) == {"zero", "mean", "resample-oakland", "resample-fresno", "inhibit"}
    clean = run.record.prompts["dallas"].baseline

    def difference(reading):
        return reading.tokens[DIFF[0]].logit - reading.tokens[DIFF[1]].logit

    changes = [difference(t.reading) - difference(clean) for t in trials.values()]
    assert rises.prompts[0].value == pytest.approx(min(changes, key=abs), abs=ATOL)
    assert all(name in rises.prompts[0].observed for name in trials)
    assert above.outcome == "held" and rises.outcome == "held"


def test_each_kind_sets_what_it_says(tiny):
    bench = make_bench(tiny, hypothesis=declared())
    spec = all_interventions(bench.hypothesis)
    own = bench.clean["dallas"]

    def values(kind):
        clamps = resolve_clamps(spec[f"needed.{kind}"], bench.supernodes, bench.clean, "dallas")
        return assign(clamps, own).values

    def activation(prompt, place):
        layer, _, index = place
        clean = bench.clean[prompt]
        return float(clean.activation(layer, clean.prompt.spans["city"][1] - 1)[index])

    for place in values("zero"):
        donors = [activation(name, place) for name in ("oakland", "fresno")]
        assert values("zero")[place] == 0
        assert values("mean")[place] == pytest.approx(sum(donors) / 2, rel=1e-6)
        assert values("resample-fresno")[place] == pytest.approx(donors[1], rel=1e-6)
        assert values("inhibit")[place] == pytest.approx(-activation("dallas", place), rel=1e-6)


def test_the_mediated_share_equals_two_passes_by_hand(tiny, run):
    bench = make_bench(tiny, hypothesis=declared())
    spec = all_interventions(bench.hypothesis)
    ids = [bench.clean["dallas"].prompt.asked[token] for token in DIFF]

    def difference(name):
        clamps = resolve_clamps(spec[name], bench.supernodes, bench.clean, "dallas")
        logits = logits_by_hand(bench, "dallas", assign(clamps, bench.clean["dallas"]).values)
        return float(logits[ids[0]] - logits[ids[1]])

    clean = bench.clean["dallas"].logits
    before = float(clean[ids[0]] - clean[ids[1]])
    share = 1 - (difference("through.held") - before) / (difference("through.total") - before)
    outcome = next(o for o in run.verdict.outcomes if o.intervention == "through")
    if outcome.prompts[0].outcome == "untested":
        assert "a share is told of 0.5 or more" in outcome.prompts[0].reason
    else:
        assert outcome.prompts[0].value == pytest.approx(share, abs=1e-3)


SWAPPED = {
    "interventions": {},
    "swaps": {
        "states": {
            "concepts": {"texas": ["dallas", "plano", "el_paso"], "california": ["oakland"]},
            "mostly": 0.5,
        }
    },
    "graph": None,
}


def swapped(**keys):
    """A record in which Texas becomes California on Dallas and Plano, and nothing else happens."""
    done = make_reading(Sacramento=0.44, Austin=0.14)
    clamped = {("states.texas-california", name): done for name in ("dallas", "plano")}
    clamped[("states.texas-california", "el_paso")] = AWAY
    prompts = {name: spec for name, spec in HYPOTHESIS["prompts"].items() if name != "lubbock"}
    study = SWAPPED["swaps"]["states"] | keys
    data = SWAPPED | {"prompts": prompts, "swaps": {"states": study}}
    record, arrays = make_record(hypothesis=data, clamped=clamped)
    return judge_run(record, arrays)


def test_swaps_are_counted_by_cell():
    discovery, held_out = swapped().outcomes
    assert [p.prompt for p in discovery.prompts] == ["dallas ← california", "oakland ← texas"]
    assert [p.outcome for p in discovery.prompts] == ["held", "failed"]
    assert (discovery.n_held, discovery.outcome) == (1, "held")
    assert (held_out.n_held, held_out.outcome) == (1, "held")
    assert discovery.expected == "the donor's answer on 1 of 2 swaps"
    assert discovery.wilson == pytest.approx(wilson(1, 2))


def test_a_pair_that_falls_short_fails_the_matrix():
    discovery, _ = swapped(each=0.5).outcomes
    assert discovery.outcome == "failed"
    assert "too few of a pair: california ← texas 0 of 1" in discovery.observed


NECESSITY = """
necessity:
  needed:
    prompts: [dallas, plano]
    ablate: [texas]
    kinds: [zero, mean]
    reference: [oakland]
    expect: [{logit_diff: [" Sacramento", "{answer}"], rises_by: 1}]
"""
MEDIATION = """
mediation:
  through:
    prompts: [dallas, plano]
    clamp: {texas: 0}
    through: [california]
    expect: [{logit_diff: [" Sacramento", " Austin"], share_above: 0.5}]
"""
SWAPS = """
swaps:
  states:
    concepts: {texas: [dallas, plano], california: [oakland]}
    mostly: 0.8
"""


def test_studies_are_accepted(tmp_path):
    accepted(tmp_path, GOOD + NECESSITY + MEDIATION + SWAPS)


@pytest.mark.parametrize(
    ("text", "old", "new", "where", "sentence"),
    [
        (NECESSITY, "[zero, mean]", "[zero]", "necessity.needed.kinds", "2 or more entries"),
        (NECESSITY, "[zero, mean]", "[zero, half]", "necessity.needed.kinds[1]", "'inhibit'"),
        (
            NECESSITY,
            "[zero, mean]",
            "[zero, zero]",
            "necessity.needed.kinds[1]",
            "the kind 'zero' is named twice",
        ),
        (
            NECESSITY,
            "    reference: [oakland]\n",
            "",
            "necessity.needed",
            "'mean' take activations from prompts: name `reference`",
        ),
        (
            NECESSITY,
            "reference: [oakland]",
            "reference: [dallas]",
            "necessity.needed.reference[0]",
            "the prompt 'dallas' is also ablated",
        ),
        (
            NECESSITY,
            "[dallas, plano]\n    ablate: [texas]\n    kinds: [zero, mean]\n    reference: [oak",
            "[dallas]\n    ablate: [texas]\n    kinds: [zero, mean]\n    reference: [plano, oak",
            "necessity.needed.reference[0]",
            "held out, so it may not be a reference",
        ),
        (NECESSITY, "[texas]", "[texs]", "necessity.needed.ablate[0]", "no supernode 'texs'"),
        (
            MEDIATION,
            "[california]",
            "[texas]",
            "mediation.through.through[0]",
            "'texas' is clamped itself",
        ),
        (
            MEDIATION,
            ", share_above: 0.5",
            "",
            "mediation.through.expect[0]",
            "`share_above` or `share_below` is expected",
        ),
        (
            SWAPS,
            "[oakland]",
            "[oakland, dallas]",
            "swaps.states.concepts.california[1]",
            "the prompt 'dallas' is also one of 'texas'",
        ),
        (
            SWAPS,
            "[dallas, plano]",
            "[dallas, oakland]",
            "swaps.states.concepts.texas",
            "its prompts have several answers",
        ),
        (SWAPS, "states:", "swap:", "swaps.swap", "the name 'swap' is taken in `interventions`"),
    ],
)
def test_mistakes_in_studies(tmp_path, text, old, new, where, sentence):
    assert old in text
    assert_mistake(tmp_path, GOOD + text.replace(old, new, 1), where, sentence)
