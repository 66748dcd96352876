"""The links a file claims, and the signs that speak against them, on the synthetic two-hop run."""

from __future__ import annotations

import pytest

from tests.records import make_graph_record, make_record
from tracer.evidence.claimed_links import ClaimedLink, claimed_links, contradictions
from tracer.record.trials import Ablation, GraphEdge


def graphed(edges, target=" Austin", ablations=(), prompt="dallas", **hypothesis):
    record, _ = make_record(hypothesis=hypothesis)
    graph = make_graph_record(
        file=f"graph-{prompt}.json",
        target=target,
        members={"texas": 2, "say_austin": 1, "california": 2},
        edges=tuple(
            GraphEdge(source=source, target=to, weight=10 * share, share=share)
            for source, to, share in edges
        ),
        ablations=tuple(
            Ablation(
                name=name,
                is_supernode=True,
                n_features=1,
                predicted_direct=0.0,
                predicted_total=0.0,
                measured_direct=0.0,
                measured_attention=0.0,
                measured_free=change,
            )
            for name, change in ablations
        ),
    )
    return record.model_copy(update={"graphs": {prompt: graph}})


def of(record, prompt="dallas"):
    return {(c.source, c.target, c.sign): c.where for c in claimed_links(record, prompt)}


def test_what_is_expected_of_an_ablation_is_a_claim_with_a_sign():
    """Texas off: say Austin falls, ' Austin' goes."""
    assert of(graphed([])) == {
        ("texas", "say_austin", 1): "ablate_texas",
        ("texas", "output", 1): "ablate_texas",
    }


def test_of_a_difference_either_token_tells_the_sign():
    graph = {"prompts": ["dallas"], "toward": {"logit_diff": [" Sacramento", " Austin"]}}
    found = of(graphed([], target=" Sacramento − Austin", graph=graph))
    assert found["texas", "output", -1] == "ablate_texas"
    assert ("texas", "output", 1) not in found


def test_what_is_put_in_from_another_prompt_claims_nothing_of_this_graph():
    assert not [each for each in of(graphed([])) if each[0] == "california"]


def test_a_graph_section_claims_signs_of_its_own():
    edge = {"edge": {"from": "texas", "to": "california", "below": 0}}
    beats = {"edge": {"from": "say_austin", "to": "output", "beats_controls": 0.05}}
    open_ = {"edge": {"from": "california", "to": "output", "above": -0.5}}
    graph = {"prompts": ["dallas"], "toward": "answer", "expect": [edge, beats, open_]}
    found = of(graphed([], graph=graph))
    assert found["texas", "california", -1] == found["say_austin", "output", 1] == "graph"
    assert not [each for each in found if each[0] == "california"]


def test_a_study_of_necessity_claims_that_what_it_ablates_adds():
    study = {
        "needs": {
            "prompts": ["dallas"],
            "ablate": ["california"],
            "kinds": ["zero", "inhibit"],
            "expect": [{"top_is_not": "{answer}"}],
        }
    }
    assert of(graphed([], necessity=study))["california", "output", 1] == "needs"


@pytest.mark.parametrize(
    ("share", "n"), [(-0.033, 1), (0.033, 0), (0.0, 0)], ids=["against", "for", "nothing"]
)
def test_a_link_of_the_other_sign_contradicts(share, n):
    """Texas → say Austin −3.3 %: the story says that Texas adds to it."""
    record = graphed([("texas", "say_austin", share), ("say_austin", "texas", -0.5)])
    found = contradictions(record, "dallas")
    claim = ClaimedLink("texas", "say_austin", 1, "ablate_texas")
    assert [tuple(each) for each in found] == [(claim, "direct", share)] * n


def test_an_ablation_that_raises_what_the_claim_says_it_lowers_contradicts():
    found = contradictions(graphed([], ablations=[("texas", 1.5)]), "dallas")
    assert [(each.claim.target, each.found, each.value) for each in found] == [
        ("output", "ablated", -1.5)
    ]
    assert contradictions(graphed([], ablations=[("texas", -1.5)]), "dallas") == ()
