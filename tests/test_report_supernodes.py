"""How each supernode was found, in a sentence."""

from tests.records import HYPOTHESIS, change, make_record
from tracer.record.record import FeatureRef
from tracer.report.sections.supernodes import supernode_view


def test_a_rule_is_told_in_words():
    record, _ = make_record()
    view = supernode_view(record, record.supernodes["texas"])
    assert view.summary == "40 features, layers 3 to 11, 31 % of the positive attribution"
    assert view.rule == (
        "Found by a rule: the 40 strongest of 36,864 features at city (last token), by (mean "
        "activation on dallas minus that on oakland) × mean gradient toward the logit of each "
        "prompt's answer. Its own activation is the mean on dallas."
    )
    first = view.members.kept[0]
    assert (first.name.split("/")[0], first.score) == ("L3", "1")


def test_a_share_a_direction_and_layers_are_told():
    rule = {
        "on": ["dallas"],
        "share": 0.5,
        "layers": [2, 9],
        "toward": {"logit_diff": [" a", " b"]},
    }
    nodes = {**HYPOTHESIS["supernodes"], "texas": {"select": rule}}
    record, _ = make_record(hypothesis={"supernodes": nodes})
    told = supernode_view(record, record.supernodes["texas"]).rule
    assert "the strongest that carry 50 % of the positive attribution" in told
    assert "in layers 2 to 9" in told
    assert "toward logit(' a') − logit(' b')" in told


def test_explicit_ids_without_a_source_claim_no_rule():
    nodes = {**HYPOTHESIS["supernodes"], "texas": {"features": ["3_17"]}}
    record, _ = make_record(hypothesis={"supernodes": nodes})
    ids = (FeatureRef(layer=3, index=17), FeatureRef(layer=4, index=2, position=7, offset=0))
    record = change(record, "supernodes.texas.features", ids)
    record = change(record, "supernodes.texas.source", ())
    view = supernode_view(record, record.supernodes["texas"])
    assert view.rule == "Given by explicit ids, put at city (last token)."
    assert [(m.where, m.score) for m in view.members.kept] == [("anchor", "–"), ("token 7", "–")]
