from __future__ import annotations

import numpy as np
import pytest

from tests.dashboards import put_run, start, texts
from tests.graphs import hand_graph, make_graph
from tests.verdicts import make_outcome, make_verdict
from tracer.dashboard import comparing
from tracer.graph.nodes import Nodes
from tracer.result import Run
from tracer.runs import find_runs


def two(root, **changes):
    a = Run.open(put_run(root, stamp="20260102T000000.000Z-aaaaaa"))
    failed = make_verdict(make_outcome(outcome="failed"), verdict="refuted")
    b = Run.open(put_run(root, stamp="20260103T000000.000Z-bbbbbb", verdict=failed, **changes))
    return a, b


def test_expectations_stand_side_by_side(tmp_path):
    a, b = two(tmp_path)
    (row,) = comparing.outcome_rows(a.essentials(), b.essentials())
    assert (row[""], row["A"], row["B"]) == (comparing.CHANGED, "✔ held", "✖ failed")


def test_effects_are_subtracted_by_prompt_and_token(tmp_path):
    a, b = two(tmp_path)
    for row in comparing.effect_rows(a.essentials(), b.essentials()):
        assert row["A (nats)"] == row["B (nats)"]
        assert row["B − A"] == 0


def test_members_are_counted_by_side(tmp_path):
    a, b = two(tmp_path)
    members = a.record.supernodes["texas"].features
    moved = members[0].model_copy(update={"layer": members[0].layer + 1})
    c = Run.open(
        put_run(
            tmp_path,
            stamp="20260104T000000.000Z-cccccc",
            **{"supernodes.texas.features": (moved, *members[1:])},
        )
    )
    rows = comparing.member_rows(a.essentials(), c.essentials())
    row = next(row for row in rows if row["supernode"] == "texas")
    n = len(members)
    assert [row[side] for side in comparing.SIDES] == [1, n - 1, 1]
    assert row["overlap"] == (n - 1) / (n + 1)


def test_nodes_are_only_in_one_graph_or_in_both():
    a = hand_graph()
    b = make_graph(
        Nodes(
            features=np.array([[0, 1, 7], [1, 1, 3]]),
            activations=np.array([4.0, 5.0], dtype=np.float32),
            errors=a.nodes.errors,
            tokens=a.nodes.tokens,
            logits=a.nodes.logits,
        ),
        np.zeros(4 * 5),
    )
    assert comparing.node_sides(a, b) == {"only A": 2, "both": 1, "only B": 1}
    cells = [tuple(row.values()) for row in comparing.node_rows(a, b)]
    assert cells == [
        ("only A", 0, 0, "·t0", 5, 1.0, None),
        ("both", 0, 1, "·t1", 7, 2.0, 4.0),
        ("only A", 1, 1, "·t1", 2, 3.0, None),
        ("only B", 1, 1, "·t1", 3, None, 5.0),
    ]


def test_files_are_compared_line_by_line():
    assert comparing.file_diff("a\nb", "a\nb") == ""
    assert comparing.file_diff("a\nb", "a\nc").splitlines()[-2:] == ["-b", "+c"]


def test_a_hypothesis_on_several_models_has_its_newest_runs(tmp_path):
    put_run(tmp_path, stamp="20260102T000000.000Z-aaaaaa", started="2026-01-02")
    put_run(tmp_path, stamp="20260103T000000.000Z-bbbbbb", started="2026-01-03")
    put_run(
        tmp_path,
        stamp="20260104T000000.000Z-cccccc",
        started="2026-01-04",
        **{"model.name": "other-model"},
    )
    put_run(tmp_path, "alone", started="2026-01-05")
    assert comparing.by_model(reversed(find_runs(tmp_path))) == {
        "two_hop": {
            "other-model": "two_hop/20260104T000000.000Z-cccccc",
            "gemma-3-270m": "two_hop/20260103T000000.000Z-bbbbbb",
        }
    }


@pytest.mark.parametrize(
    "view", ["differences", "expectations", "effects", "circuit", "graphs", "file"]
)
def test_an_address_restores_a_comparison(tmp_path, monkeypatch, view):
    a, b = two(tmp_path / "reports")
    query = {"run": a.record.id, "with": b.record.id, "compared": view}
    app = start(monkeypatch, tmp_path, "compare", query)
    assert not app.exception
    assert app.selectbox(key="with").value == b.record.id
    assert [each.value for each in app.header] == ["✔ confirmed", "✖ refuted"]


def test_features_of_another_model_are_not_matched(tmp_path, monkeypatch):
    a, b = two(tmp_path / "reports", **{"model.fingerprint": "another"})
    query = {"run": a.record.id, "with": b.record.id, "compared": "circuit"}
    app = start(monkeypatch, tmp_path, "compare", query)
    assert "a feature of one is not a feature of the other" in texts(app)
    assert not app.dataframe


def test_one_hypothesis_on_two_models_is_a_button_away(tmp_path, monkeypatch):
    a, b = two(tmp_path / "reports", **{"model.name": "other-model"})
    app = start(monkeypatch, tmp_path, "compare")
    app.button[0].click().run()
    chosen = {app.selectbox(key="run").value, app.selectbox(key="with").value}
    assert chosen == {a.record.id, b.record.id}
    assert not app.exception
