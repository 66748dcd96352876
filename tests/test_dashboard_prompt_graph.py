"""Explore without a run: the graph of a prompt that is typed in, and graph files."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.dashboards import put_run, start, texts
from tests.graphs import hand_graph
from tests.opened import TEXT
from tests.test_graph_consensus import three
from tracer.api.graph import attribution_graph
from tracer.dashboard import model
from tracer.dashboard.explore import prompt_graph
from tracer.dashboard.explore.prompt_graph import graph_names
from tracer.hypothesis.spec import Hypothesis
from tracer.record.graph.files import read, read_features, write


@pytest.fixture
def default_model(tiny, monkeypatch):
    """The model of who names none is the tiny one."""
    monkeypatch.setattr(Hypothesis.model_fields["model"], "default", str(tiny))
    yield tiny
    model.free()


def test_a_typed_prompt_gets_its_graph_and_a_file(tmp_path, monkeypatch, default_model):
    app = start(monkeypatch, tmp_path, "explore")
    app.text_input[0].set_value(TEXT)
    next(each for each in app.button if each.label == "Take its graph").click().run()
    assert not app.exception, app.exception
    [path] = (tmp_path / "graphs").glob("*.json")
    assert path.name.startswith("the-capital-of-the-state-containing-dallas")
    wanted = attribution_graph(TEXT, model=str(default_model), device="cpu")
    np.testing.assert_array_equal(read(path).nodes.features, wanted.nodes.features)
    named = read_features(path)
    assert named and all(each.promotes for each in named.values())
    assert app.query_params["graph-file"] in (path.stem, [path.stem])
    assert TEXT in texts(app)


def test_a_prompt_that_cannot_be_is_a_sentence(tmp_path, monkeypatch, default_model):
    app = start(monkeypatch, tmp_path, "explore")
    app.text_input[0].set_value("x " * 900)
    next(each for each in app.button if each.label == "Take its graph").click().run()
    assert not app.exception, app.exception
    assert "fit the model" in app.warning[0].value
    assert not (tmp_path / "graphs").exists()


def test_a_graph_file_is_opened_from_the_list_and_the_address(tmp_path, monkeypatch):
    put_run(tmp_path / "reports")
    (tmp_path / "graphs").mkdir()
    write(tmp_path / "graphs" / "mine.json", hand_graph())
    write(tmp_path / "graphs" / "shared.json", three())
    app = start(monkeypatch, tmp_path, "explore")
    assert "no attribution graph" in texts(app)
    # A consensus has places and no tokens: there is nothing to ask the model about.
    for name, is_asked in (("mine", True), ("shared", False)):
        app = start(monkeypatch, tmp_path, "explore", {"graph-file": name})
        assert not app.exception, app.exception
        assert app.selectbox(key="graph-file").value == name
        assert "no attribution graph" not in texts(app)
        assert is_asked == any("Why a head looks" in each.label for each in app.expander)


@pytest.mark.parametrize("asked", ["../../etc/passwd", "<script>", "link", ""])
def test_an_address_only_names_what_is_listed(tmp_path, monkeypatch, asked):
    put_run(tmp_path / "reports")
    folder = tmp_path / "graphs"
    folder.mkdir()
    write(tmp_path / "elsewhere.json", hand_graph())
    os.symlink(tmp_path / "elsewhere.json", folder / "link.json")
    assert graph_names(folder) == []
    app = start(monkeypatch, tmp_path, "explore", {"graph-file": asked})
    assert not app.exception
    assert app.selectbox(key="graph-file").value is None


def test_a_broken_graph_file_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "graphs").mkdir()
    (tmp_path / "graphs" / "bad.json").write_text("{")
    app = start(monkeypatch, tmp_path, "explore", {"graph-file": "bad"})
    assert not app.exception
    assert "bad.json" in app.error[0].value.replace("\\", "").replace("\u2060", "")


def test_no_torch_no_prompt_box(tmp_path, monkeypatch):
    put_run(tmp_path / "reports")
    monkeypatch.setattr(prompt_graph.model, "absent", lambda: "torch is not installed here")
    app = start(monkeypatch, tmp_path, "explore")
    assert next(each for each in app.button if each.label == "Take its graph").disabled
    assert not (tmp_path / "graphs").exists()
