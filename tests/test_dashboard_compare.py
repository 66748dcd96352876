from __future__ import annotations

import numpy as np
import pytest

from tests.dashboards import put_run, start, texts
from tests.graph_runs import large_graph, put_graph_run
from tests.graphs import hand_graph, make_graph
from tests.verdicts import make_outcome, make_verdict
from tracer.dashboard.compare import tables
from tracer.record.graph.graph import Nodes, listed
from tracer.record.record import FeatureRef
from tracer.record.runs import find_runs
from tracer.report.run import Run

HOSTILE = "<script>alert(1)</script> [x](javascript:alert(2)) {{7*7}} $x$ :red[y]"


def pictures(app):
    return [each for each in app.main if each.type == "image"]


def two(root, **changes):
    a = Run.open(put_run(root, stamp="20260102T000000.000Z-aaaaaa", verdict=make_verdict()))
    failed = make_verdict(make_outcome(outcome="failed"), verdict="refuted")
    b = Run.open(put_run(root, stamp="20260103T000000.000Z-bbbbbb", verdict=failed, **changes))
    return a, b


def test_expectations_stand_side_by_side(tmp_path):
    a, b = two(tmp_path)
    (row,) = tables.outcome_rows(a.essentials(), b.essentials())
    assert (row["same"], row["A"], row["B"]) == (tables.CHANGED, "✔ held", "✖ failed")


def test_effects_are_subtracted_by_prompt_and_token(tmp_path):
    a, b = two(tmp_path)
    for row in tables.effect_rows(a.essentials(), b.essentials()):
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
    rows = tables.member_rows(a.essentials(), c.essentials())
    row = next(row for row in rows if row["supernode"] == "texas")
    n = len(members)
    assert [row[side] for side in tables.SIDES] == [1, n - 1, 1]
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
    assert tables.node_sides(listed(a), listed(b)) == {"only A": 2, "both": 1, "only B": 1}
    cells = [tuple(row.values()) for row in tables.node_rows(listed(a), listed(b))]
    assert cells == [
        ("only A", 0, 0, "' t0'", 5, 1.0, None),
        ("both", 0, 1, "' t1'", 7, 2.0, 4.0),
        ("only A", 1, 1, "' t1'", 2, 3.0, None),
        ("only B", 1, 1, "' t1'", 3, None, 5.0),
    ]


def test_files_are_compared_line_by_line():
    assert tables.file_diff("a\nb", "a\nb") == ""
    assert tables.file_diff("a\nb", "a\nc").splitlines()[-2:] == ["-b", "+c"]


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
    assert tables.by_model(reversed(find_runs(tmp_path))) == {
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
    assert not [each for each in app.dataframe if "overlap" in each.value]
    assert [each for each in app.dataframe if "layers in B" in each.value]


def test_both_circuits_are_drawn(tmp_path, monkeypatch):
    a, b = two(tmp_path / "reports")
    query = {
        "run": a.record.id,
        "with": b.record.id,
        "compared": "circuit",
        "intervention": "texas_to_california",
        "on": "plano",
    }
    app = start(monkeypatch, tmp_path, "compare", query)
    assert not app.exception
    assert len(pictures(app)) == 4
    effects = next(each.value for each in app.dataframe if "B − A" in each.value)
    assert set(effects["intervention"]) == {"texas_to_california"}
    assert set(effects["prompt"]) == {"plano"}


def test_a_circuit_that_one_run_lacks_is_said(tmp_path, monkeypatch):
    a, b = two(tmp_path / "reports", **{"interventions.ablate_texas.trials": {}})
    query = {
        "run": a.record.id,
        "with": b.record.id,
        "compared": "circuit",
        "intervention": "ablate_texas",
    }
    app = start(monkeypatch, tmp_path, "compare", query)
    assert not app.exception
    assert "was not measured on dallas here" in texts(app)
    assert len(pictures(app)) == 2


@pytest.mark.parametrize("asked", ["../../etc", "<script>", ""])
def test_an_address_only_names_what_was_measured(tmp_path, monkeypatch, asked):
    a, b = two(tmp_path / "reports")
    query = {
        "run": a.record.id,
        "with": b.record.id,
        "compared": "circuit",
        "intervention": asked,
        "on": asked,
    }
    app = start(monkeypatch, tmp_path, "compare", query)
    assert not app.exception
    assert app.selectbox(key="intervention").value == "ablate_texas"
    assert app.selectbox(key="on").value == "dallas"


def graphs_of(tmp_path, monkeypatch, **changes):
    stamps = ("20260102T000000.000Z-aaaaaa", "20260103T000000.000Z-bbbbbb")
    a, b = large_graph(40), large_graph(40, seed=1)
    reports = tmp_path / "reports"
    first = put_graph_run(reports, a, stamp=stamps[0])
    second = put_graph_run(reports, b, stamp=stamps[1], **changes)
    ids = [f"two_hop/{folder.name}" for folder in (first, second)]
    query = {"run": ids[0], "with": ids[1], "compared": "graphs"}
    return start(monkeypatch, tmp_path, "compare", query)


def test_graphs_are_matched_node_by_node_and_edge_by_edge(tmp_path, monkeypatch):
    app = graphs_of(tmp_path, monkeypatch)
    assert not app.exception
    counts = next(each.value for each in app.dataframe if "only A" in each.value)
    assert counts["of the graphs"].tolist() == ["features", "edges"]
    assert counts["only A"][0] == 40
    assert "of Σ |weight| in A" in texts(app)


def test_graphs_of_two_models_are_compared_by_their_scores(tmp_path, monkeypatch):
    app = graphs_of(tmp_path, monkeypatch, **{"model.name": HOSTILE})
    assert not app.exception
    assert "different models (gemma-3-270m in A" in texts(app)
    assert [each for each in app.dataframe if "of the graph" in each.value]
    assert not [each for each in app.dataframe if "only A" in each.value]


def test_hostile_text_is_shown_as_text(tmp_path, monkeypatch):
    changes = {"model.name": HOSTILE, "supernodes.texas.label": HOSTILE}
    a, b = two(tmp_path / "reports", **changes)
    for view in ("differences", "circuit"):
        query = {"run": a.record.id, "with": b.record.id, "compared": view}
        app = start(monkeypatch, tmp_path, "compare", query)
        assert not app.exception
        for each in app.markdown:
            assert "](javascript" not in each.value
            assert "<script>" not in each.value.replace("\\<script\\>", "")


def test_one_hypothesis_on_two_models_is_a_button_away(tmp_path, monkeypatch):
    a, b = two(tmp_path / "reports", **{"model.name": "other-model"})
    app = start(monkeypatch, tmp_path, "compare")
    app.button[0].click().run()
    chosen = {app.selectbox(key="run").value, app.selectbox(key="with").value}
    assert chosen == {a.record.id, b.record.id}
    assert not app.exception


def test_members_of_two_models_are_not_called_worse(tmp_path, monkeypatch):
    features = (FeatureRef(layer=1, index=1),)
    changes = {"model.name": "small", "supernodes.texas.features": features}
    a, b = two(tmp_path / "reports", **changes)
    assert any(each.kind == "supernode" for each in b.compare(a.essentials()).findings)
    app = start(monkeypatch, tmp_path, "compare", {"run": a.record.id, "with": b.record.id})
    assert not app.exception
    assert "**Without a counterpart**" in texts(app)
    assert "overlap" not in texts(app)
    for each in app.dataframe:
        assert not each.value["what"].str.contains("members of").any()
