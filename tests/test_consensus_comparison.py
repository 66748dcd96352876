"""Two consensus graphs beside each other: by hand, and through `tracer compare`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.command import call
from tests.graphs import hand_graph
from tests.test_graph_consensus import aligned, of, small
from tracer.evidence.consensus_comparison import InCommon, compare_consensus
from tracer.record.graph.consensus import PRUNINGS, consensus
from tracer.record.graph.files import write
from tracer.record.graph.graph import AttributionGraph


def core(features, edges, *, model: str = "toy", fingerprint: str = "f00d") -> AttributionGraph:
    """Of two prompts with the same graph: t0 {city} {last}, two layers, one logit."""
    graph = small(7, features, edges)
    subject = replace(graph.subject, model=model, fingerprint=fingerprint)
    graph = replace(graph, subject=subject)
    return consensus([of("a", graph), of("b", graph)], aligned(1, 1), prunings=PRUNINGS[:1])


# Features 0_5 at {city} and 1_2 at {last}; columns: both, t0, {city}, {last}.
A = core([(0, 1, 5), (1, 2, 2)], [[0, 0, 0, 2, 0], [3, 0, 0, 0, 1], [1, 4, 0, 0, 1]])
# The same with another feature at {last}, and other weights.
B = core(
    [(0, 1, 5), (1, 2, 2), (1, 2, 3)],
    [[0, 0, 0, 0, 4, 0], [6, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 1], [-2, 4, 4, 0, 0, 0]],
)


def test_of_one_model_features_and_edges_are_the_same_ones():
    found = compare_consensus(A, B)
    assert found.by == "feature and place"
    assert found.places == InCommon(both=3, only_before=0, only_after=0)
    assert found.nodes == InCommon(both=2, only_before=0, only_after=1)
    # city → 0_5, 0_5 → 1_2, last → 1_2, 0_5 → answer, 1_2 → answer; A has last → answer as well,
    # B has last → 1_3 and 1_3 → answer.
    assert found.edges == InCommon(both=5, only_before=1, only_after=2)
    pairs = np.array([(2, 4), (3, 6), (1, 2), (1, -2), (4, 4)])
    assert found.behind.correlation == pytest.approx(np.corrcoef(pairs.T)[0, 1])
    assert (found.behind.n, found.behind.same_sign) == (5, 4)
    assert (found.outputs.n, found.outputs.same_sign, found.outputs.correlation) == (2, 1, None)
    assert [(each.before, each.after) for each in found.strongest] == [(4, 4), (1, -2)]
    assert found.strongest[0].source == "1_2 at {last}"
    links = {(each.source, each.target): (each.before, each.after) for each in found.links}
    # Of what enters the answer: 1, 4 and 1 of 6, and −2 and 8 of 10.
    assert links["{city}", "output answer"] == (pytest.approx(1 / 6), pytest.approx(-0.2))
    assert links["{last}", "output answer"] == (pytest.approx(5 / 6), pytest.approx(0.8))
    assert links["{city}", "{last}"] == (pytest.approx(3 / 4), pytest.approx(6 / 9))


def test_of_two_models_cells_are_a_place_and_a_quarter_of_the_depth():
    other = core(
        [(0, 1, 50), (0, 1, 51), (1, 2, 9)],
        [[0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0], [1, 2, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0]],
        model="other",
        fingerprint="beef",
    )
    found = compare_consensus(A, other)
    assert found.by == "place and depth"
    # Two layers: quarters 1 and 3. Both have one cell at {city} and one at {last}.
    assert found.nodes == InCommon(both=2, only_before=0, only_after=0)
    # {city} → {last} is 3 of 4 and 2 of 2, {city} → answer 1 of 6 and 2 of 3, token → {city} all.
    pairs = np.array([(3 / 4, 1), (1 / 6, 2 / 3), (1, 1)])
    assert found.behind.correlation == pytest.approx(np.corrcoef(pairs.T)[0, 1])
    [edge] = found.strongest
    assert (edge.source, edge.target) == ("quarter 1 at {city}", "output answer")
    assert (edge.before, edge.after) == (pytest.approx(1 / 6), pytest.approx(2 / 3))
    assert found.edges == InCommon(both=3, only_before=3, only_after=1)


def test_edges_in_front_of_all_spans_are_no_evidence():
    rows = [[0, 0, 5, 0, 0], [0, 0, 0, 2, 0], [0, 1, 0, 0, 0]]
    found = compare_consensus(*(core([(0, 0, 4), (0, 1, 5)], rows) for _ in "ab"))
    assert (found.edges.both, found.behind.n) == (3, 2)


def test_places_that_only_one_has_are_told_and_not_compared():
    assert B.agreement is not None
    first, *others = B.agreement.places
    places = (first._replace(text="other"), *others)
    renamed = replace(B, agreement=replace(B.agreement, places=places))
    found = compare_consensus(A, renamed)
    assert found.places == InCommon(both=2, only_before=1, only_after=1)
    assert found.elsewhere == (0, 0)
    assert found.edges == InCommon(both=5, only_before=1, only_after=2)


def test_the_command_tells_both_sides(tmp_path: Path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("a.json"), A)
    write(Path("b.json"), B)
    result = call(capfd, "compare", "a.json", "b.json", "--json", "c.json")
    assert result.code == 0, result.err
    assert "compared by feature and place" in result.out
    assert max(len(line) for line in result.out.splitlines()) <= 80
    told = json.loads(Path("c.json").read_text())
    assert told["schema"] == "tracer.consensus-comparison/1"
    assert told["edges"] == {"both": 5, "only_before": 1, "only_after": 2}
    write(Path("one.json"), hand_graph())
    for sides in (("a.json", "one.json"), ("one.json", "a.json"), ("latest", "a.json")):
        wrong = call(capfd, "compare", *sides)
        assert wrong.code == 4 and "this is no consensus graph" in " ".join(wrong.err.split())
    refused = call(capfd, "compare", "a.json", "b.json", "--effect", "1")
    assert "--overlap and --effect are for two runs" in refused.err
