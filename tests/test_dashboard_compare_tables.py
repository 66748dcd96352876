"""What has no counterpart in the other run is said in a sentence, and the rest in tables."""

from __future__ import annotations

from tests.records import change, make_graph_record, make_record
from tracer.dashboard.compare.tables import (
    lone,
    retokenized,
    score_rows,
    share_rows,
    size_rows,
    unmatched,
)
from tracer.record.trials import GraphEdge, GraphRecord


def renamed(names, old, new):
    return {new if name == old else name: value for name, value in names.items()}


def test_names_of_one_run_only_are_said():
    a, _ = make_record()
    b = change(a, "supernodes", renamed(a.supernodes, "texas", "state"))
    b = change(b, "prompts", {**b.prompts, "waco": b.prompts["dallas"]})
    assert lone(a, a) == ()
    assert lone(a, b) == (
        "Prompts only in B: waco.",
        "Supernodes only in A: texas.",
        "Supernodes only in B: state.",
    )


def test_other_tokens_are_said():
    a, _ = make_record()
    tokens = a.prompts["dallas"].tokens
    b = change(a, "prompts.dallas.tokens", (*tokens[:-1], "i", "s"))
    assert retokenized(a, a) == ()
    (told,) = retokenized(a, b)
    assert told.startswith(f"Other tokens in B: dallas (dallas: {len(tokens)} in A, ")


def test_why_features_cannot_be_matched_is_said():
    a, _ = make_record()
    assert unmatched(a, a) is None
    other = change(a, "model.name", "<b>small</b>")
    assert "different models (gemma-3-270m in A, <b>small</b> in B)" in (unmatched(a, other) or "")
    other = change(a, "basis", "clt")
    assert "different feature bases (neurons in A, clt in B)" in (unmatched(a, other) or "")
    other = change(a, "model.fingerprint", "f" * 64)
    assert "different weights of the model" in (unmatched(a, other) or "")


def test_supernodes_stand_by_size_and_depth():
    a, _ = make_record()
    b = change(a, "supernodes", {n: s for n, s in a.supernodes.items() if n != "texas"})
    row = next(row for row in size_rows(a, b) if row["supernode"] == "texas")
    layers = [3 + i % 9 for i in range(40)]
    assert row == {
        "supernode": "texas",
        "features in A": 40,
        "layers in A": f"3 to 11 of 18 layers, mean {sum(layers) / 40:.1f}",
        "features in B": None,
        "layers in B": "not there",
    }


def graph(share: float | None, replacement: float = 0.5) -> GraphRecord:
    return make_graph_record(
        replacement=replacement,
        completeness=None,
        edges=(
            GraphEdge(source="texas", target="output", weight=1.0, share=share),
            GraphEdge(source="texas", target="say_austin", weight=0.0, share=None),
        ),
    )


def test_graphs_of_any_two_models_have_scores_and_shares():
    rows = {row["of the graph"]: (row["A"], row["B"]) for row in score_rows(graph(0.1), graph(0.2))}
    assert rows["replacement"] == (0.5, 0.5)
    assert rows["completeness"] == (None, None)
    assert share_rows(graph(0.1), graph(-0.2)) == [
        {"from": "texas", "to": "output", "A (%)": 10.0, "B (%)": -20.0}
    ]
