"""Why a head looks where it looks, asked in Explore."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.dashboards import put_run, start, texts
from tests.graph_runs import large_graph
from tests.graphs import hand_graph
from tests.opened import attributed_of, open_tiny
from tracer.dashboard import model
from tracer.dashboard.explore.carrying_heads import carrying_heads
from tracer.dashboard.explore.heads import question_in, question_text
from tracer.dashboard.explore.nodes import connections, entering, index_of
from tracer.engine.attribution.query_key import qk_attribution
from tracer.engine.features.neurons import NeuronBasis
from tracer.hypothesis.heads import HeadName
from tracer.record.graph.files import write
from tracer.record.graph.head_reason import HeadQuestion
from tracer.record.graph.heads import HeadLoadings
from tracer.record.graph.prune import prune
from tracer.report.text import signed

ASKED = HeadQuestion(HeadName(1, 2), 13, 7, "mean")


@pytest.fixture(scope="module")
def taken(tiny):
    opened = open_tiny(tiny)
    yield opened, attributed_of(opened, NeuronBasis(opened), 40)
    model.free()


@pytest.fixture
def place(tmp_path, taken):
    """A graph of the tiny model among the files."""
    (tmp_path / "graphs").mkdir()
    write(tmp_path / "graphs" / "mine.json", prune(taken[1].graph))
    return tmp_path


def ask(app, head, **fields):
    """Fill in the form, and send it."""
    next(each for each in app.text_input if each.label == "Head").set_value(head)
    for label, value in fields.items():
        next(each for each in app.selectbox if each.label == label).set_value(value)
    return next(b for b in app.button if b.label == "Ask the model").click().run()


def test_nothing_is_run_before_the_button(place, monkeypatch):
    opened = []
    monkeypatch.setattr(model, "hold", lambda key: opened.append(key))
    query = {"graph-file": "mine", "why": question_text(ASKED)}
    app = start(monkeypatch, place, "explore", query)
    assert not app.exception, app.exception
    assert not opened
    head = next(each for each in app.text_input if each.label == "Head")
    assert head.value == "1.2"
    chosen = {each.label: each.value for each in app.selectbox}
    assert (chosen["Looks from"], chosen["at"], chosen["against"]) == (13, 7, "mean")
    assert "Asking loads" in texts(app)


def test_the_model_is_asked_about_a_graph_file(place, monkeypatch, taken):
    app = start(monkeypatch, place, "explore", {"graph-file": "mine"})
    ask(app, "1.2", **{"Looks from": 13, "at": 7, "against": "mean"})
    assert not app.exception, app.exception
    assert not app.warning, app.warning
    opened, (_, nodes) = taken
    wanted = qk_attribution(opened, nodes, *ASKED)
    said = texts(app).replace("\\", "").replace("\u2060", "")
    assert f"score {signed(wanted.score, 2 if abs(wanted.score) >= 1 else 3)};" in said
    assert "Head 1.2 looks from ' Texas' (13) at ' Dallas' (7)" in said
    assert app.query_params["why"] in (question_text(ASKED), [question_text(ASKED)])
    sides = [each.value for each in app.dataframe if "part" in each.value]
    for side in sides:
        parts = [float(part.replace("−", "-")) for part in side["part"]]
        assert sum(parts) == pytest.approx(float(wanted.total), abs=0.05)
    assert len(sides) == 2


def test_what_cannot_be_asked_is_a_sentence(place, monkeypatch):
    app = start(monkeypatch, place, "explore", {"graph-file": "mine"})
    for head, fields, sentence in (
        ("nine", {}, "'nine' is no head: its layer and its number are expected, as in 9.1."),
        ("7.1", {}, "head 7.1: the model has layers 0 to 1, each with heads 0 to 3."),
        ("1.0", {"Looks from": 3, "at": 8}, "cannot look from position 3 at 8"),
    ):
        ask(app, head, **fields)
        assert not app.exception, app.exception
        assert sentence in app.warning[0].value.replace("\\", "").replace("\u2060", "")


def test_a_graph_that_tells_no_weights_cannot_be_asked(tmp_path, monkeypatch):
    put_run(tmp_path / "reports")
    (tmp_path / "graphs").mkdir()
    graph = hand_graph()
    write(tmp_path / "graphs" / "theirs.json", graph)
    app = start(monkeypatch, tmp_path, "explore", {"graph-file": "theirs"})
    assert not app.exception, app.exception
    told = "does not tell of which weights" in texts(app)
    assert told == (graph.subject.fingerprint == "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("9.1_17_16_mean", HeadQuestion(HeadName(9, 1), 17, 16, "mean")),
        ("9.1_17_16", HeadQuestion(HeadName(9, 1), 17, 16)),
        ("9.1_17_16_3", HeadQuestion(HeadName(9, 1), 17, 16, 3)),
        ("9.1_18_16", None),
        ("9.1_17_16_18", None),
        ("9_1_2", None),
        ("<script>", None),
        ("9.1_17_16_other", None),
    ],
)
def test_an_address_holds_a_question(text, wanted):
    assert question_in(text, 18) == wanted
    if wanted is not None:
        assert question_text(wanted) == text


def test_heads_that_carry_links_are_listed_with_what_they_look_at():
    graph = large_graph(20)
    edges = np.zeros_like(graph.edges)
    layer, pos, _ = graph.nodes.features[-1].tolist()
    rows = np.flatnonzero(graph.nodes.errors[:, 0] < layer)
    there = next(row for row in rows if graph.nodes.errors[row, 1] < pos)
    same = next(row for row in rows if graph.nodes.errors[row, 1] == pos)
    first = graph.nodes.n_features
    edges[graph.nodes.n_features - 1, [first + there, first + same]] = 1.0, 3.0
    order = np.argsort([there, same])
    heads = HeadLoadings(
        4,
        np.array([[5, -1], [6, -1]])[order],
        np.array([[0.5, 0], [1.5, 0]], dtype=np.float32)[order],
    )
    index = index_of(replace(graph, edges=edges, heads=heads))
    name = index.ids[graph.nodes.n_features - 1]
    found = carrying_heads(index, connections(index, entering(index.graph), name), name)
    key = int(graph.nodes.errors[there, 1])
    assert [(each.head, each.query, each.key) for each in found] == [
        (HeadName(1, 1), pos, key),
        (HeadName(1, 2), pos, pos),
    ]
    assert [each.size for each in found] == pytest.approx([0.5 / 4, 1.5 / 4])
    assert "1.1 +50 % of what comes from" in found[0].label
