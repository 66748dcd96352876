from __future__ import annotations

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.dashboards import put_run, start, texts
from tests.verdicts import make_verdict
from tracer.dashboard.dashboard import JOINER, plain
from tracer.dashboard.opening import entries
from tracer.dashboard.runs.run import run_names
from tracer.dashboard.runs.runs_page import RunFilters, counts, filtered
from tracer.record import run_folder
from tracer.record.claim import claimed
from tracer.record.runs import find_runs

HOSTILE = (
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "[x](javascript:alert(1))",
    "![x](https://example.com/x.png)",
    "https://example.com www.example.com",
    ":material/home: :red[x] :smile: $x^2$ `code` **b** ~~s~~",
    "# heading",
    "- item",
    "1. item",
    "a\n\n    b",
    "&lt;b&gt; \\ | a | b |",
)


def test_the_front_page_lists_the_runs_newest_first(tmp_path, monkeypatch):
    put_run(tmp_path / "reports", "two_hop", started="2026-01-02T00:00:00Z")
    put_run(tmp_path / "reports", "other", started="2026-01-03T00:00:00Z")
    app = start(monkeypatch, tmp_path)
    assert not app.exception
    assert [run.split("/")[0] for run in app.dataframe[0].value["run"]] == ["other", "two_hop"]
    assert not app.header


def test_no_runs_is_a_sentence(tmp_path, monkeypatch):
    app = start(monkeypatch, tmp_path)
    assert not app.exception
    assert "There are no runs yet." in texts(app)


@pytest.mark.parametrize("asked", ["../../etc/passwd", "/etc", "two_hop", "<script>", "two_hop/.."])
def test_an_address_only_names_what_is_listed(tmp_path, monkeypatch, asked):
    folder = put_run(tmp_path / "reports")
    app = start(monkeypatch, tmp_path, "run", query={"run": asked})
    assert not app.exception
    assert folder.is_dir()
    assert app.selectbox(key="run").value == f"two_hop/{folder.name}"
    assert asked not in texts(app)


def test_an_address_opens_its_run(tmp_path, monkeypatch):
    older: Path = put_run(tmp_path / "reports", started="2026-01-02T00:00:00Z")
    put_run(tmp_path / "reports", "other", started="2026-01-03T00:00:00Z")
    app = start(monkeypatch, tmp_path, "run", query={"run": f"two_hop/{older.name}"})
    assert app.selectbox(key="run").value == f"two_hop/{older.name}"
    assert app.header[0].value == "≈ consistent"
    assert "replacing the state replaces the capital" in texts(app)


def test_an_address_of_the_list_with_a_run_leads_to_its_page(tmp_path, monkeypatch):
    folder = put_run(tmp_path / "reports")
    app = start(monkeypatch, tmp_path, query={"run": f"two_hop/{folder.name}", "view": "effects"})
    assert [each.value for each in app.title] == ["Run"]
    assert app.button_group(key="view").value == "effects"


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
    app = start(monkeypatch, tmp_path, "run", query={"run": f"two_hop/{folder.name}", "view": view})
    assert not app.exception
    assert app.button_group(key="view").value == view


def put_three(root: Path) -> Path:
    put_run(root, "two_hop", started="2026-01-01T00:00:00Z")
    put_run(
        root,
        "rhyme",
        verdict=make_verdict(verdict="refuted"),
        started="2026-01-02T00:00:00Z",
        **{"hypothesis.tags": ("poetry",), "model.name": "other-model"},
    )
    broken = put_run(root, "broken", started="2026-01-03T00:00:00Z")
    (broken / "run.json").write_text("{", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (RunFilters(), ["rhyme", "two_hop", "broken"]),
        (RunFilters(states=frozenset({"refuted", "unreadable"})), ["rhyme", "broken"]),
        (RunFilters(tags=frozenset({"poetry", "none"})), ["rhyme"]),
        (RunFilters(models=frozenset({"other-model"})), ["rhyme"]),
        (RunFilters(words="  CAPITAL state "), ["rhyme", "two_hop"]),
        (RunFilters(words="cut short"), ["broken"]),
        (RunFilters(words="nowhere"), []),
    ],
)
def test_every_filter_must_agree(tmp_path, wanted, names):
    listed = reversed(find_runs(put_three(tmp_path)))
    assert [row.hypothesis for row in filtered(listed, wanted)] == names


def test_the_chips_count_what_there_is(tmp_path):
    listed = reversed(find_runs(put_three(tmp_path)))
    assert counts(listed) == {"consistent": 1, "refuted": 1, "unreadable": 1}


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_shown_as_it_is(text):
    html = MarkdownIt("js-default").render(plain(text))
    bare = html.removeprefix("<p>").removesuffix("</p>\n").replace(JOINER, "")
    assert "<" not in bare
    inner = MarkdownIt("zero").render(" ".join(text.split()))
    assert bare == inner.removeprefix("<p>").removesuffix("</p>\n")


def test_what_is_looked_for_in_plain_text_is_parted():
    shown = plain("https://a.b www.a.b a@b.c :smile: :material/home: -> --set >= WWW.a").replace(
        "\\", ""
    )
    for found in ("https://", "www.", "@b", ":smile", ":material", "->", "--", ">=", "WWW."):
        assert found not in shown


def test_control_characters_become_visible():
    assert plain("a\u202eb\x07") == "a⟨U\\+202E⟩b⟨U\\+0007⟩"


def test_a_complete_run_is_opened_before_one_that_is_measured(tmp_path, monkeypatch):
    older = put_run(tmp_path / "reports", started="2026-01-02T03:04:05Z")
    newer = put_run(tmp_path / "reports", "other", started="2026-01-03T03:04:05Z")
    record = run_folder.read_record(newer).model_copy(update={"status": "measuring"})
    run_folder.write(newer, record, {})
    with claimed(newer):
        app = start(monkeypatch, tmp_path, "intervene")
        chosen = app.selectbox(key="run")
        assert chosen.value == f"two_hop/{older.name}"
        assert chosen.options == ["≈ two_hop · 2 Jan 03:04", "… other · 3 Jan 03:04"]
        asked = {"run": f"other/{newer.name}"}
        assert "is being measured" in texts(start(monkeypatch, tmp_path, "run", query=asked))
        assert "… measuring" in list(app_rows(start(monkeypatch, tmp_path)))
    assert "was stopped before" in texts(start(monkeypatch, tmp_path, "run", query=asked))
    assert "◼ stopped" in list(app_rows(start(monkeypatch, tmp_path)))


def app_rows(app):
    return app.dataframe[0].value["verdict"]


def test_runs_of_one_name_are_told_apart(tmp_path):
    for stamp in ("20260102T030405.000Z-aaaaaa", "20260102T030406.000Z-bbbbbb"):
        put_run(tmp_path, stamp=stamp, started="2026-01-02T03:04:05Z")
    names = run_names(entries(tmp_path))
    assert sorted(names.values()) == [
        "≈ two_hop · 2 Jan 03:04 (aaaaaa)",
        "≈ two_hop · 2 Jan 03:04 (bbbbbb)",
    ]
