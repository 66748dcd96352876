"""What lacks of claims about heads that a rule chose, or whose patterns are set."""

import pytest

from tests.records import change, make_confirmable
from tests.test_strength import SWAP, redeclared
from tracer.evidence.context import JudgingContext
from tracer.evidence.origin import of_origin
from tracer.evidence.own_patterns import decided_by_patterns
from tracer.evidence.strength import of_controls
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.record.record import HeadRef, SupernodeRecord


def with_heads(record, edit):
    """The record of a file in which a rule has found `movers` at the last token."""
    select = {
        "unit": "heads", "on": ["oakland", "fresno"], "against": ["dallas"],
        "toward": {"token": " Sacramento"}, "top": 1,
    }  # fmt: skip

    def both(data):
        data["supernodes"]["movers"] = {"select": select}
        edit(data)

    found = SupernodeRecord(
        name="movers", label="movers", at="last", anchor="last", features=(),
        heads=(HeadRef(layer=3, head=1, d_head=8),),
        source=("oakland", "fresno"),
    )  # fmt: skip
    supernodes = dict(record.supernodes) | {"movers": found}
    return redeclared(record.model_copy(update={"supernodes": supernodes}), both)


def origin(record, arrays):
    context = JudgingContext(record, arrays, record.hypothesis)
    spec = record.hypothesis.interventions[SWAP]
    return list(of_origin(context, SWAP, spec, spec.expect))


def test_a_head_copies_from_all_that_it_sees():
    record, arrays = make_confirmable()

    def edit(data):
        data["interventions"][SWAP]["clamp"] = {"movers": 1}
        data["interventions"][SWAP].pop("doses")

    record = with_heads(record, edit)
    said = "donors that do not say it: 'sacramento' stands in sight of where movers is taken from"
    assert not any(each.startswith(said) for each in origin(record, arrays))
    first = ("Sacramento", *record.prompts["oakland"].tokens[1:])
    record = change(record, "prompts.oakland.tokens", first)
    assert any(each.startswith(said) for each in origin(record, arrays))
    for prompt in record.hypothesis.interventions[SWAP].prompts:  # said by the recipients as well
        tokens = (" sacramento", *record.prompts[prompt].tokens[1:])
        record = change(record, f"prompts.{prompt}.tokens", tokens)
    assert not any(each.startswith(said) for each in origin(record, arrays))


def test_no_wrong_donors_take_the_place_of_heads_whose_patterns_are_set():
    record, arrays = make_confirmable()
    knockout = {"heads": "movers", "from": "last", "to": "city", "set": 0}

    def edit(data):
        data["interventions"][SWAP]["attention"] = [knockout]

    assert origin(record, arrays) == []
    (found,) = origin(with_heads(record, edit), arrays)
    assert found == (
        "circular: the heads of movers last ↛ city were chosen toward an output, and no wrong "
        "donors take their place"
    )


def test_a_weight_of_attention_is_compared_too():
    record, arrays = make_confirmable()
    context = JudgingContext(record, arrays, record.hypothesis)
    spec = record.hypothesis.interventions[SWAP]
    weight = {"attends": {"head": "3.1", "from": "last", "to": "city"}}
    falls, other, compared = (
        Attends.model_validate(each)
        for each in (
            weight | {"falls_by": 0.1},
            {"attends": weight["attends"] | {"head": "3.2"}, "undercuts_controls": 0.05},
            weight | {"undercuts_controls": 0.05},
        )
    )
    assert list(of_controls(context, SWAP, spec, [*spec.expect, falls, compared])) == []
    (found,) = of_controls(context, SWAP, spec, [*spec.expect, falls, other])
    assert found.endswith("says of the attention of 3.1 last → city is compared with them")


@pytest.mark.parametrize(
    ("clamp", "from_", "decided"),
    [
        ({"heads": ["3.1"], "from": "last", "to": "city", "set": 0}, "last", True),
        ({"heads": "movers", "like": "oakland"}, "city", True),
        ({"heads": ["3.1"], "from": "city", "to": "city", "set": 0}, "last", False),
        ({"heads": ["3.2"], "from": "last", "to": "city", "set": 0}, "last", False),
        ({"heads": ["2.1"], "like": "oakland"}, "last", False),
    ],
)
def test_what_a_pattern_clamp_sets_itself_says_nothing(clamp, from_, decided):
    """Neither the weight of a head nor its activation where it is at the end."""
    record, _ = make_confirmable()
    record = with_heads(record, lambda data: data["interventions"][SWAP].update(attention=[clamp]))
    spec, told = record.hypothesis.interventions[SWAP], "the intervention sets the pattern of 3.1"
    weight = {"head": "3.1", "from": from_, "to": "city"}
    asked = Attends.model_validate({"attends": weight, "falls_by": 0.1})
    found = decided_by_patterns(record, spec, asked, "dallas")
    assert (found == f"{told} itself") is decided
    part = Fraction(supernode="movers", fraction_below=0.5)
    found = decided_by_patterns(record, spec, part, "dallas")
    assert (found == f"{told} itself") is decided
    assert decided_by_patterns(record, spec, spec.expect[0], "dallas") is None
