"""Groups of a graph's features, what a run says of one feature, and addresses."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import hand_graph, random_graph
from records import change, make_record

from tracer.dashboard.explore.feature import TokenFiring, facts_of
from tracer.dashboard.explore.graph import selection_ids, selection_text, share_of
from tracer.dashboard.explore.nodes import index_of
from tracer.dashboard.explore.supernodes import (
    GroupLink,
    declared,
    group_links,
    group_scores,
    misnamed,
    with_group,
    without_group,
)
from tracer.engine.members import position_of
from tracer.record.graph.graph import listed
from tracer.record.graph.influence import supernode_scores
from tracer.record.record import FeatureRef
from tracer.report.run_graphs import place_on

A, B, C, ERROR = "0_5_0", "0_7_1", "1_2_1", "0_-1_1"


def test_a_group_holds_features_of_the_graph_once():
    index = index_of(hand_graph())
    groups = with_group({}, "texas", [A, ERROR, "9_9_9", A], index)
    assert groups == {"texas": (A,)}
    assert with_group(groups, "texas", [C], index) == {"texas": (A, C)}
    assert with_group(groups, "none", [ERROR], index) == groups
    assert without_group(groups, "texas") == {}


@pytest.mark.parametrize("name", ["", "a b", "<script>", "../x", "9a", "a" * 65, "{{x}}"])
def test_bad_names_are_refused_in_a_sentence(name: str):
    assert "is no name: letters, digits" in (misnamed(name, {}) or "")


def test_a_name_is_given_once():
    assert misnamed("texas", {}) is None
    assert "already" in (misnamed("texas", {"texas": (A,)}) or "")


def test_scores_are_those_of_the_grouped_features():
    graph = random_graph(2)
    index = index_of(graph)
    groups = {"a": index.ids[:10], "b": index.ids[5:20]}
    kept = np.arange(graph.nodes.n_features) < 20
    assert group_scores(index, groups) == supernode_scores(graph, kept)


def test_links_between_groups_are_summed_edges():
    index = index_of(hand_graph())
    links = group_links(index, {"low": (A, B), "high": (C,)})
    assert links == (
        GroupLink("high", " X", 3.0, 0.75),
        GroupLink("low", "high", -1.0, -0.25),
        GroupLink("low", " Y", 1.0, 0.25),
        GroupLink("high", " Y", 1.0, 0.25),
    )


def test_members_are_placed_as_the_engine_places_them(bench):
    """The engine's own places, by its span arithmetic on the real prompts of a tiny model."""
    record, _ = make_record()
    record = change(record, "supernodes", {})
    for name, clean in bench.clean.items():
        prompt = record.prompts["dallas"].model_copy(
            update={"tokens": clean.prompt.tokens, "spans": clean.prompt.spans}
        )
        for supernode in bench.supernodes.values():
            refs = [*supernode.features, FeatureRef(layer=0, index=1, offset=7)]
            refs += [FeatureRef(layer=0, index=1, position=p) for p in (0, 3, 999)]
            for ref in refs:
                wanted = position_of(ref, clean.prompt, supernode.at, supernode.anchor)
                assert place_on(prompt, supernode, ref) == wanted, name


def test_the_runs_supernodes_are_the_first_groups():
    record, _ = make_record()
    graph = hand_graph()
    index = index_of(graph)
    prompt = record.prompts["dallas"].model_copy(
        update={"tokens": graph.subject.tokens, "spans": {"city": (0, 2), "last": (1, 2)}}
    )
    supernode = record.supernodes["texas"].model_copy(
        update={
            "features": (
                FeatureRef(layer=0, index=7),
                FeatureRef(layer=0, index=5, offset=1),
                FeatureRef(layer=1, index=99),
            )
        }
    )
    record = change(record, "prompts.dallas", prompt)
    record = change(record, "supernodes", {"texas": supernode, "say_austin": supernode.model_copy(
        update={"name": "say_austin", "at": "nowhere"})})  # fmt: skip
    assert declared(record, "dallas", index) == {"texas": (B, A)}


def test_facts_of_a_feature_come_from_the_files():
    record, _ = make_record()
    graph = hand_graph()
    supernode = record.supernodes["texas"].model_copy(
        update={"features": (FeatureRef(layer=1, index=2, score=0.5),)}
    )
    record = change(record, "supernodes", {"texas": supernode})
    facts = facts_of(C, index_of(graph), 0.25, listed(graph), {"mine": (C,), "other": (A,)}, record)
    assert (facts.layer, facts.index, facts.pos, facts.activation) == (1, 2, 1, 3.0)
    assert facts.fires == (TokenFiring(1, "' t1'", 3.0),)
    assert facts.groups == ("mine",)
    assert facts.scores == (("texas", 0.5),)


def test_an_address_carries_ids_and_is_not_believed():
    ids = [f"1_{n}_2" for n in range(30)]
    assert selection_ids(selection_text(ids)) == tuple(ids[:20])
    assert selection_ids("") == ()
    assert selection_ids("..<script>") == ("<script>",)
    assert len(selection_ids("x." * 100_000)) == 20


@pytest.mark.parametrize("text", ["", "nan", "inf", "-0.1", "1.5", "0.9x", "9" * 50])
def test_a_share_that_is_none_gives_the_default(text: str):
    assert share_of(text, 0.8) == 0.8


def test_a_share_in_an_address_is_read():
    assert share_of("0.35", 0.8) == 0.35
