from __future__ import annotations

from pathlib import Path

import pytest

from tests.dashboards import put_run, start, texts
from tests.verdicts import make_verdict


def test_the_front_page_lists_the_runs_newest_first(tmp_path, monkeypatch):
    put_run(tmp_path / "reports", "two_hop", started="2026-01-02T00:00:00Z")
    put_run(tmp_path / "reports", "other", started="2026-01-03T00:00:00Z")
    app = start(monkeypatch, tmp_path)
    assert not app.exception
    assert [run.split("/")[0] for run in app.dataframe[0].value["run"]] == ["other", "two_hop"]
    assert app.selectbox(key="run").value is None


def test_no_runs_is_a_sentence(tmp_path, monkeypatch):
    app = start(monkeypatch, tmp_path)
    assert not app.exception
    assert "There are no runs yet." in texts(app)


@pytest.mark.parametrize("asked", ["../../etc/passwd", "/etc", "two_hop", "<script>", "two_hop/.."])
def test_an_address_only_names_what_is_listed(tmp_path, monkeypatch, asked):
    folder = put_run(tmp_path / "reports")
    app = start(monkeypatch, tmp_path, query={"run": asked})
    assert not app.exception
    assert folder.is_dir()
    assert app.selectbox(key="run").value is None
    assert not app.header


def test_an_address_opens_its_run(tmp_path, monkeypatch):
    older: Path = put_run(tmp_path / "reports", started="2026-01-02T00:00:00Z")
    put_run(tmp_path / "reports", "other", started="2026-01-03T00:00:00Z")
    app = start(monkeypatch, tmp_path, query={"run": f"two_hop/{older.name}"})
    assert app.selectbox(key="run").value == f"two_hop/{older.name}"
    assert app.header[0].value == "✔ confirmed"
    assert "Replacing the state replaces the capital" in texts(app)


def test_the_chips_in_an_address_filter(tmp_path, monkeypatch):
    put_run(tmp_path / "reports", "two_hop")
    put_run(tmp_path / "reports", "other", verdict=make_verdict(verdict="refuted"))
    app = start(monkeypatch, tmp_path, query={"verdict": "refuted", "words": "oth"})
    assert list(app.dataframe[0].value["hypothesis"]) == ["other"]
    assert "1 of 2 shown" in texts(app)
    app.text_input(key="words").set_value("nowhere").run()
    assert "No run passes the filters." in texts(app)


@pytest.mark.parametrize("view", ["expectations", "effects", "report", "hypothesis"])
def test_an_address_restores_what_was_shown_of_a_run(tmp_path, monkeypatch, view):
    folder = put_run(tmp_path / "reports")
    app = start(monkeypatch, tmp_path, query={"run": f"two_hop/{folder.name}", "view": view})
    assert not app.exception
    assert app.button_group(key="view").value == view
