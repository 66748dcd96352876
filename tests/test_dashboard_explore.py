"""Explore by AppTest: the component's state stands in for what a browser would send."""

from __future__ import annotations

import numpy as np
import pytest

from tests.dashboards import put_run, start, texts
from tests.graph_runs import large_graph, put_graph_run
from tests.records import change
from tracer.engine.corpus.windows import PassageStart, Windows
from tracer.engine.feature_index import entries
from tracer.engine.feature_index.bins import N_BINS
from tracer.hypothesis.load import read
from tracer.record import run_folder
from tracer.record.feature_index import IndexedFeature, TextPlace
from tracer.record.trials import FeatureTokens, GraphEdge
from tracer.report.text import clean, visible_token

HOSTILE = "<script>alert(1)</script> [x](javascript:alert(2)) {{7*7}} $x$ :red[y]"


@pytest.fixture
def place(tmp_path):
    """A run with a graph of 60 features."""
    put_graph_run(tmp_path / "reports", large_graph(60))
    return tmp_path


def ids(place, n=4):
    graph = large_graph(60)
    return [f"{layer}_{index}_{pos}" for layer, pos, index in graph.nodes.features[-n:].tolist()]


def send(app, selected):
    """What the view tells after a click or a box."""
    app.session_state["graph"] = {"selected": selected}
    return app.run()


def button(app, words):
    return next(each for each in app.button if words in each.label)


def test_the_graph_is_shown_with_its_supernodes(place, monkeypatch):
    app = start(monkeypatch, place, "explore")
    assert not app.exception, app.exception
    assert "Nothing is selected" in texts(app)
    labels = {each.label: each.value for each in app.metric}
    assert set(labels) == {"Replacement, supernodes alone", "Completeness, supernodes alone"}
    nodes = next(each.value for each in app.dataframe if "influence" in each.value)
    assert (nodes["supernodes"] == "texas").sum() == 6


def test_a_selection_from_the_view_is_looked_up(place, monkeypatch):
    app = start(monkeypatch, place, "explore")
    mine = ids(place)
    send(app, [*mine, "9_9_9", "<script>", 7])
    assert not app.exception, app.exception
    assert "Selected: 4" in texts(app)
    assert app.query_params["sel"] in (".".join(mine), [".".join(mine)])
    nodes = next(each.value for each in app.dataframe if "influence" in each.value)
    assert set(nodes["id"][nodes["selected"] == "✔"]) == set(mine)


def test_a_deep_link_restores_what_was_selected(place, monkeypatch):
    mine = ids(place)
    query = {"sel": ".".join([*mine, "../../etc", "<b>"]), "prompt": "dallas", "t": "0.5"}
    app = start(monkeypatch, place, "explore", query)
    assert not app.exception
    assert "Selected: 4" in texts(app)


def test_selected_nodes_become_a_supernode_and_are_taken_apart(place, monkeypatch):
    app = start(monkeypatch, place, "explore")
    send(app, ids(place, 40))
    before = [each.value for each in app.metric]
    app.text_input(key="new supernode").set_value("mine").run()
    button(app, "Group 40").click().run()
    assert not app.exception, app.exception
    assert "**mine** 40 features" in texts(app)
    assert [each.value for each in app.metric] != before
    button(app, "Take apart").click().run()
    assert "**mine**" not in texts(app)
    assert [each.value for each in app.metric] == before


@pytest.mark.parametrize("name", ["<script>", "a b", "texas", "{{7*7}}"])
def test_a_bad_name_is_told(place, monkeypatch, name):
    app = start(monkeypatch, place, "explore")
    send(app, ids(place))
    app.text_input(key="new supernode").set_value(name).run()
    assert app.warning
    assert button(app, "Group 4").disabled


def test_the_table_is_a_way_to_select(place, monkeypatch):
    app = start(monkeypatch, place, "explore")
    app.text_input(key="filter").set_value("texas").run()
    nodes = next(each.value for each in app.dataframe if "influence" in each.value)
    assert len(nodes) == 6
    send(app, ids(place))
    button(app, "Clear").click().run()
    assert "Selected: 0" in texts(app)


def test_one_output_or_a_difference_can_be_asked(place, monkeypatch):
    app = start(monkeypatch, place, "explore")
    asked = app.selectbox(key="ask")
    assert asked.options == [
        "all outputs",
        "0: ' Austin'",
        "1: ' Sacramento'",
        "0: ' Austin' − ' Sacramento'",
    ]
    asked.set_value("0: ' Austin' − ' Sacramento'").run()
    assert not app.exception
    nodes = next(each.value for each in app.dataframe if "influence" in each.value)
    assert "output ' Austin' − ' Sacramento'" in nodes["node"].tolist()


def test_a_deep_link_restores_what_is_explained(place, monkeypatch):
    app = start(monkeypatch, place, "explore", {"explains": "0-1", "sel": ids(place)[0]})
    assert not app.exception
    assert app.selectbox(key="ask").value == "0: ' Austin' − ' Sacramento'"
    assert "Selected: 1" in texts(app)
    app.selectbox(key="ask").set_value("1: ' Sacramento'").run()
    assert app.query_params["explains"] in ("1", ["1"])
    app.selectbox(key="ask").set_value("all outputs").run()
    assert app.selectbox(key="ask").value == "all outputs"
    assert "explains" not in app.query_params


@pytest.mark.parametrize("asked", ["7", "0-7", "<script>", "../..", "-"])
def test_only_outputs_of_the_graph_are_explained(place, monkeypatch, asked):
    app = start(monkeypatch, place, "explore", {"explains": asked})
    assert not app.exception
    assert app.selectbox(key="ask").value == "all outputs"


def test_a_card_tells_what_the_files_say(place, monkeypatch):
    app = start(monkeypatch, place, "explore")
    graph = large_graph(60)
    layer, pos, index = graph.nodes.features[0].tolist()
    send(app, [f"{layer}_{index}_{pos}"])
    assert "In supernodes: texas" in texts(app)
    assert "In this graph on" in texts(app)


def test_a_run_without_a_graph_says_how_to_get_one(tmp_path, monkeypatch):
    put_run(tmp_path / "reports")
    app = start(monkeypatch, tmp_path, "explore")
    assert not app.exception
    assert "no attribution graph" in texts(app)


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_a_broken_graph_is_a_sentence(place, monkeypatch, suffix, content):
    [path] = (place / "reports").rglob(f"graph-dallas.{suffix}")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    app = start(monkeypatch, place, "explore")
    assert not app.exception
    assert "graph-dallas" in app.error[0].value.replace("\\", "").replace("\u2060", "")


def test_what_several_graphs_have_in_common_is_told(place, monkeypatch):
    [folder] = {path.parent for path in (place / "reports").rglob("run.json")}
    record = run_folder.read_record(folder)
    graph, edges = record.graphs["dallas"], {"dallas": 0.5, "plano": 0.25}
    graphs = {
        prompt: graph.model_copy(
            update={"edges": (GraphEdge(source="texas", target="output", weight=1.0, share=share),)}
        )
        for prompt, share in edges.items()
    }
    record = record.model_copy(update={"graphs": graphs})
    run_folder.write(folder, record, run_folder.read_arrays(folder))
    app = start(monkeypatch, place, "explore")
    assert not app.exception, app.exception
    said = texts(app).replace("\\", "").replace("\u2060", "")
    assert "2 graphs: 1 of discovery prompts, 1 of held-out ones." in said
    found = next(each.value for each in app.dataframe if "median share" in each.value)
    assert found.iloc[0].to_dict() == {
        "from": "Texas",
        "to": "the output",
        "on": "2 of 2",
        "median share": "+37.5 %",
        "sign, discovery": "1 of 1",
        "sign, held out": "1 of 1",
        "claimed": "",
    }


def test_a_graph_outside_the_run_is_not_read(place, monkeypatch, tmp_path_factory):
    [folder] = {path.parent for path in (place / "reports").rglob("run.json")}
    record = run_folder.read_record(folder)
    graph = record.graphs["dallas"].model_copy(update={"file": "../../../graph-dallas.json"})
    run_folder.write(
        folder,
        record.model_copy(update={"graphs": {"dallas": graph}}),
        run_folder.read_arrays(folder),
    )
    app = start(monkeypatch, place, "explore")
    assert not app.exception
    assert app.error


def test_hostile_text_is_shown_as_text(tmp_path, monkeypatch):
    put_graph_run(tmp_path / "reports", large_graph(30), **{"supernodes.texas.label": HOSTILE})
    app = start(monkeypatch, tmp_path, "explore")
    assert not app.exception
    for each in (*app.markdown, *app.caption):
        assert "](javascript" not in each.value
        assert "<script>" not in each.value.replace("\\<script\\>", "")


def test_a_group_is_kept_as_a_draft_and_brought_back(place, monkeypatch):
    app = start(monkeypatch, place, "explore")
    send(app, ids(place))
    app.text_input(key="new supernode").set_value("mine").run()
    button(app, "Group 4").click().run()
    button(app, "Keep them as a draft").click().run()
    assert not app.exception, app.exception
    [path] = (place / "drafts").iterdir()
    assert path.name == "two_hop_mine.yaml"
    saved = read(str(path)).hypothesis
    assert saved.supernodes["mine"].features == tuple(ids(place))
    button(app, "Keep them as a draft").click().run()
    assert [each.name for each in (place / "drafts").iterdir()] == ["two_hop_mine.yaml"]
    fresh = start(monkeypatch, place, "explore")
    assert "**mine**" not in texts(fresh)
    button(fresh, "Bring them back").click().run()
    assert not fresh.exception, fresh.exception
    assert "**mine** 4 features" in texts(fresh)
    button(fresh, "Bring them back").click().run()
    assert "no further supernode" in fresh.warning[0].value


def test_another_draft_of_that_name_is_not_overwritten(place, monkeypatch):
    (place / "drafts").mkdir()
    (place / "drafts" / "two_hop_mine.yaml").write_text("other: 1\n")
    app = start(monkeypatch, place, "explore")
    send(app, ids(place))
    app.text_input(key="new supernode").set_value("mine").run()
    button(app, "Group 4").click().run()
    button(app, "Keep them as a draft").click().run()
    assert (place / "drafts" / "two_hop_mine.yaml").read_text() == "other: 1\n"
    assert (place / "drafts" / "two_hop_mine_2.yaml").exists()
    button(app, "Bring them back").click().run()
    assert not app.exception
    assert "has mistakes" in app.warning[0].value


def test_a_card_tells_what_the_run_recorded(place, monkeypatch):
    [folder] = {path.parent for path in (place / "reports").rglob("run.json")}
    [name] = ids(place, 1)
    at = TextPlace(before="a", token=HOSTILE, after="b", activation=2.0, title=HOSTILE)
    indexed = IndexedFeature(label=HOSTILE, is_given=True, share=0.5, places=(at,), text="t")
    said = FeatureTokens(promotes=(HOSTILE,), suppresses=(" no",), fires=(), indexed=indexed)
    record = change(run_folder.read_record(folder), "graphs.dallas.features", {name: said})
    run_folder.write(folder, record, run_folder.read_arrays(folder))
    app = start(monkeypatch, place, "explore")
    send(app, [name])
    assert not app.exception
    shown = [each.value for each in app.text]
    assert f"Promotes: {visible_token(HOSTILE)}" in shown
    assert f"Label, given: {clean(HOSTILE)}" in shown
    marked = f"In a text: …a⟦{visible_token(HOSTILE)}⟧b… +2.00 ({HOSTILE})"
    assert str(clean(marked)) in shown


def put_index(record, widths):
    """An index of three tokens of a text, in which every feature is strongest on the second."""
    ids = np.array([[0, 1, 2, 1]], np.int32)
    windows = Windows(ids, 1, np.arange(1), (PassageStart(0, "s", "An article"),))
    subject = entries.IndexSubject(record.model.fingerprint, None)
    made = entries.IndexEntries.of(entries.open_store(), subject, windows, 1)
    made.write_text(entries.IndexedText(windows, {0: "<s>", 1: " one", 2: " two"}, ()))
    about = entries.IndexAbout(
        model="m", basis="neurons", text=("t",), n_tokens=3, n_counted=3, n_windows=1, length=4,
        n_places=1, n_signs=1, widths=widths,
    )  # fmt: skip
    layers = tuple(
        {
            "values": np.ones((width, 1, 1), np.float32),
            "places": np.full((width, 1, 1), 2, np.int32),
            "counts": np.ones((width, 1, N_BINS), np.int32),
        }
        for width in widths
    )
    made.write_layers(0, entries.Saved(layers, 1, 0))
    made.enter(subject, about, [0] * len(widths))


def test_a_card_tells_what_an_index_of_today_says(place, monkeypatch):
    [folder] = {path.parent for path in (place / "reports").rglob("run.json")}
    record = run_folder.read_record(folder)
    width = 1 + max(int(name.split("_")[1]) for name in ids(place, 60))
    put_index(record, (width,) * 26)
    [name] = ids(place, 1)
    app = start(monkeypatch, place, "explore")
    send(app, [name])
    assert not app.exception
    shown = [each.value for each in app.text]
    assert "Label, by a rule: on two …" in shown
    assert "In a text: … one⟦' two'⟧ one… +1.00 (An article)" in shown
