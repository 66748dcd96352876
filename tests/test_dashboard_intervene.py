"""Intervene: a try on the loaded model, its mistakes, and recorded interventions without one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import tracer.engine.session
from tests.dashboards import put_run, start, texts
from tests.tiny_file import run_tiny
from tracer.dashboard import model
from tracer.errors import ModelUnavailable
from tracer.hypothesis.load import read
from tracer.record import run_folder, runs

HOSTILE = "<script>alert(1)</script> [x](javascript:alert(2)) {{7*7}} $x$ :red[y]"


@pytest.fixture
def place(tiny, tmp_path):
    """A run of the tiny hypothesis, under a folder of reports."""
    run_tiny(tmp_path, tiny)
    yield tmp_path
    model.free()


def buttons(app):
    return {each.label: each for each in app.button}


def test_a_try_is_measured_and_logged(place, monkeypatch):
    app = start(monkeypatch, place, "intervene", {"prompt": "plano"})
    assert not app.exception, app.exception
    assert "loaded at the first try" in texts(app)
    buttons(app)["Run"].click().run()
    assert not app.exception, app.exception
    assert "Try 1" in texts(app)
    [log] = [each.value for each in app.dataframe if "clamps" in each.value]
    assert log["prompt"].tolist() == ["plano"]
    assert "texas ablated" in log["clamps"][0]
    assert "in memory" in texts(app)
    assert "interventions:" in texts(app)


def test_a_try_draws_every_supernode(place, monkeypatch):
    """Oakland's prompt has neither clamped; a supernode made by hand is watched as well."""
    app = start(monkeypatch, place, "intervene", {"prompt": "dallas"})
    [run] = runs.find_runs(place / "reports")
    app.session_state["hand_groups"] = {(run.id, "dallas"): {"mine": ("1_7_2",)}}
    app.run()
    buttons(app)["Run"].click().run()
    assert not app.exception, app.exception
    table = next(each.value for each in app.dataframe if "of unclamped" in each.value)
    assert table["supernode"].tolist() == ["texas", "california", "mine"]
    picture = next(each for each in app.main if each.type == "image")
    assert "mine" in picture.proto.imgs[0].alt


def test_what_is_recorded_is_what_a_try_gives(place, monkeypatch):
    """The form starts as the recorded intervention, so its run gives the recorded outputs."""
    app = start(monkeypatch, place, "intervene", {"prompt": "plano"})
    buttons(app)["Run"].click().run()
    tables = [each.value for each in app.dataframe if "token" in each.value]
    assert len(tables) == 2
    assert tables[0].equals(tables[1])


def test_what_was_seen_is_saved_as_a_draft_once(place, monkeypatch):
    app = start(monkeypatch, place, "intervene", {"prompt": "plano"})
    buttons(app)["Run"].click().run()
    buttons(app)["Save as draft"].click().run()
    assert not app.exception, app.exception
    saved = read(str(place / "drafts" / "tiny_draft.yaml")).hypothesis
    assert set(saved.interventions) == {"swap", "seen_by_hand"}
    buttons(app)["Save as draft"].click().run()
    assert "already" in app.warning[0].value
    next(e for e in app.text_input if e.label == "Name of the draft").set_value("../x").run()
    buttons(app)["Save as draft"].click().run()
    assert "no name of a draft" in app.warning[0].value
    assert [path.name for path in (place / "drafts").iterdir()] == ["tiny_draft.yaml"]


def test_controls_and_doses_are_a_click_away(place, monkeypatch):
    app = start(monkeypatch, place, "intervene", {"prompt": "dallas"})
    buttons(app)["Run with 39 matched random sets"].click().run()
    assert "of 39 matched random sets moved it as far" in texts(app)
    buttons(app)["Sweep the dose"].click().run()
    assert not app.exception, app.exception
    [log] = [each.value for each in app.dataframe if "clamps" in each.value]
    assert log["with"].tolist() == ["39 random sets", "doses"]
    assert "Try 2" in texts(app)


def test_the_same_try_is_not_measured_twice(place, monkeypatch):
    app = start(monkeypatch, place, "intervene", {"prompt": "dallas"})
    buttons(app)["Run"].click().run()
    buttons(app)["Run"].click().run()
    assert "made before" in texts(app)
    [log] = [each.value for each in app.dataframe if "clamps" in each.value]
    assert len(log) == 1


def test_a_mistake_is_a_sentence(place, monkeypatch):
    app = start(monkeypatch, place, "intervene", {"prompt": "dallas"})
    freeze = next(each for each in app.selectbox if each.label == "Freeze")
    freeze.set_value("all")
    next(e for e in app.number_input if e.label == "Tokens to generate").set_value(3)
    buttons(app)["Run"].click().run()
    assert not app.exception
    assert "no text can be" in "\n".join(each.value for each in app.warning)


def test_the_model_is_freed(place, monkeypatch):
    app = start(monkeypatch, place, "intervene")
    buttons(app)["Run"].click().run()
    buttons(app)["Free the model"].click().run()
    assert "loaded at the first try" in texts(app)


def test_a_model_that_cannot_be_loaded_leaves_what_was_recorded(place, monkeypatch):
    def refuse(*_):
        raise ModelUnavailable("tiny: <b>not here</b>")

    monkeypatch.setattr(tracer.engine.session, "open_both", refuse)
    app = start(monkeypatch, place, "intervene", {"prompt": "dallas"})
    buttons(app)["Run"].click().run()
    assert not app.exception
    assert "not here" in app.warning[0].value
    assert not [each for each in app.button if each.label == "Run"]
    assert [each.label for each in app.selectbox if each.label == "Recorded intervention"]


def test_weights_that_are_cut_short_leave_what_was_recorded(tiny, tmp_path, monkeypatch):
    """The run was measured with them; since then the disk ran full, or a download stopped."""
    model = shutil.copytree(tiny, tmp_path / "model")
    run_tiny(tmp_path, model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    app = start(monkeypatch, tmp_path, "intervene", {"prompt": "plano"})
    buttons(app)["Run"].click().run()
    assert not app.exception
    assert "the weights cannot be loaded" in app.warning[0].value
    assert [each.label for each in app.selectbox if each.label == "Recorded intervention"]
    assert buttons(app)["Try to load the model again"]


def test_without_torch_it_reads_what_was_recorded(tmp_path, monkeypatch):
    put_run(tmp_path / "reports")
    monkeypatch.setattr(model, "absent", lambda: "torch is not installed here")
    app = start(monkeypatch, tmp_path, "intervene", {"prompt": "plano"})
    assert not app.exception
    assert "torch is not installed here" in app.warning[0].value
    [tokens] = [each.value for each in app.dataframe if "token" in each.value]
    assert "' Austin'" in tokens["token"].tolist()


def answer_hostile(path, prompt):
    """Give a prompt an answer that is hostile text, and have it read wherever it must be."""
    data = json.loads(path.read_text())
    data["prompts"][prompt]["answer"] = HOSTILE
    trials = [made["trials"][prompt] for made in data["interventions"].values()]
    doses = [dose for trial in trials for dose in trial["doses"]]
    readings = [each["reading"] for each in (*trials, *doses)]
    for reading in (data["prompts"][prompt]["baseline"], *readings):
        reading["tokens"][HOSTILE] = reading["tokens"][" Austin"]
    path.write_text(json.dumps(data))


def test_hostile_text_is_shown_as_text(tmp_path, monkeypatch):
    folder: Path = put_run(
        tmp_path / "reports",
        **{
            "supernodes.texas.label": HOSTILE,
            "prompts.dallas.text": HOSTILE,
        },
    )
    answer_hostile(folder / "run.json", "dallas")
    assert run_folder.read_record(folder).supernodes["texas"].label == HOSTILE
    app = start(monkeypatch, tmp_path, "intervene", {"prompt": "dallas"})
    assert not app.exception
    assert HOSTILE in [each.value for each in app.text]
    for each in app.markdown:
        assert "<script>" not in each.value.replace("\\<script\\>", "")
        assert "](javascript" not in each.value


@pytest.mark.parametrize("asked", ["../../etc", "<script>", ""])
def test_an_address_only_names_prompts_of_the_run(tmp_path, monkeypatch, asked):
    put_run(tmp_path / "reports")
    app = start(monkeypatch, tmp_path, "intervene", {"prompt": asked})
    assert not app.exception
    assert app.selectbox(key="prompt").value == "dallas"


def test_who_comes_from_explore_clamps_what_was_made_there(place, monkeypatch):
    """The clamps of the run's own intervention, or of an earlier group, do not stay."""
    app = start(monkeypatch, place, "intervene", {"prompt": "dallas"})
    [run] = runs.find_runs(place / "reports")
    clamped = next(each for each in app.multiselect if each.label == "Supernodes to clamp")
    assert "mine" not in clamped.value
    for made in ({"mine": ("1_7_2",)}, {"mine": ("1_7_2",), "more": ("0_3_2",)}):
        app.session_state["hand_groups"] = {(run.id, "dallas"): made}
        app.query_params["start"] = "explored"
        app.run()
        assert not app.exception, app.exception
        clamped = next(each for each in app.multiselect if each.label == "Supernodes to clamp")
        assert clamped.value == list(made)
        assert "start" not in app.query_params


def test_a_run_measured_on_a_device_that_is_not_here_is_tried_on_what_is(place, monkeypatch):
    [run] = runs.find_runs(place / "reports")
    path = run.folder / "run.json"
    data = json.loads(path.read_text())
    data["hypothesis"]["model"] = {"name": data["model"]["name"], "device": "cuda:7"}
    data["model"]["device"] = "cuda:7"
    path.write_text(json.dumps(data))
    app = start(monkeypatch, place, "intervene", {"prompt": "plano"})
    buttons(app)["Run"].click().run()
    assert not app.exception, app.exception
    assert "Try 1" in texts(app)
    assert "in memory on cpu" in texts(app)
    assert "measured on cuda:7" in texts(app).replace("\\", "").replace("\u2060", "")
