"""Whatever lies in a run folder, every page that reads it is a readable one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dashboards import put_run, start, texts
from tests.test_dashboard_runs import HOSTILE
from tests.verdicts import make_outcome, make_verdict

STAMP = "20260102T030405.000Z-0123ab"
RUN = f"two_hop/{STAMP}"
LONG = "x" * 100_000


def rewrite(name: str, **changes: object) -> Callable[[Path], None]:
    def bend(folder: Path) -> None:
        data = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**data, **changes}))

    return bend


def cut(name: str) -> Callable[[Path], None]:
    def bend(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return bend


def remove(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names]  # type: ignore[func-returns-value]


def link_out(name: str) -> Callable[[Path], None]:
    def bend(folder: Path) -> None:
        outside = folder.parent.parent.parent / name
        shutil.move(folder / name, outside)
        (folder / name).symlink_to(outside)

    return bend


def empty_arrays(folder: Path) -> None:
    (folder / "measurements.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")


BENT = {
    "an older schema": (rewrite("run.json", schema="tracer.run/0"), "written by an older tracer"),
    "a newer schema": (rewrite("run.json", schema="tracer.run/9"), "written by a newer tracer"),
    "a record cut short": (cut("run.json"), "cut short, or not JSON"),
    "a record that does not fit": (rewrite("run.json", colour=1), "colour"),
    "a run being written": (rewrite("run.json", status="measuring"), "was stopped before"),
    "tensors cut short": (cut("measurements.safetensors"), "cut short, or no safetensors"),
    "missing tensors": (remove("measurements.safetensors"), "measurements.safetensors is missing"),
    "a verdict cut short": (cut("verdict.json"), "cut short, or not JSON"),
    "a link out of the folder": (link_out("measurements.safetensors"), "link out of the reports"),
    "a verdict elsewhere": (link_out("verdict.json"), "link out of the reports"),
    "not judged": (remove("verdict.json"), "refuted"),
    "tensors left out": (empty_arrays, "confirmed"),
}


@pytest.mark.parametrize("name", BENT)
def test_a_bent_run_is_a_sentence(tmp_path, monkeypatch, name):
    bend, sentence = BENT[name]
    bend(put_run(tmp_path / "reports", verdict=None, stamp=STAMP))
    put_run(tmp_path / "reports", "sound")
    app = start(monkeypatch, tmp_path, "run", query={"run": RUN, "view": "report"})
    assert not app.exception
    assert sentence in texts(app) or name == "not judged"
    sound = f"sound/{STAMP}"
    query = {"run": RUN, "with": sound, "compared": "differences"}
    assert not start(monkeypatch, tmp_path, "compare", query).exception
    assert not start(monkeypatch, tmp_path, "author", {"from": f"run/{RUN}"}).exception


def test_ten_thousand_expectations_and_a_long_prompt(tmp_path, monkeypatch):
    outcomes = [make_outcome(expectation=f"top token {n}") for n in range(10_000)]
    long = {"prompts.dallas.text": LONG, "hypothesis.claim": LONG, "yaml": LONG}
    put_run(
        tmp_path / "reports",
        stamp=STAMP,
        verdict=make_verdict(*outcomes, claim=LONG, reason=LONG, caveats=(LONG,) * 50),
        **long,
    )
    app = start(monkeypatch, tmp_path, "run", query={"run": RUN})
    assert not app.exception
    assert len(app.dataframe[0].value) == 10_000
    assert max(map(len, texts(app).splitlines())) < 20_000
    app = start(monkeypatch, tmp_path, "run", query={"run": RUN, "view": "report"})
    assert not app.exception
    assert app.button[0].label.startswith("Draw the report of 10,000 expectations")


@pytest.mark.parametrize(
    "name", ["graph-dallas.json", "../../secret.json", "/etc/passwd", "x\0", "", ".."]
)
def test_a_graph_that_is_not_there_is_a_sentence(tmp_path, monkeypatch, name):
    graph = {
        "file": name,
        "target": " Austin",
        "n_active": 1,
        "n_features": 1,
        "relevance_share": 1.0,
        "n_pruned": 1,
        "replacement": None,
        "completeness": None,
        "supernode_replacement": None,
        "supernode_completeness": None,
        "members": {},
        "edges": [],
        "ablations": [],
    }
    for run in ("two_hop", "other"):
        rewrite("run.json", graphs={"dallas": graph})(put_run(tmp_path / "reports", run))
    query = {"run": RUN, "with": f"other/{STAMP}", "compared": "graphs"}
    app = start(monkeypatch, tmp_path, "compare", query)
    assert not app.exception
    assert "no graph" in texts(app)
    for page, query in (("", {"view": "report"}), ("explore", {})):
        assert not start(monkeypatch, tmp_path, page, {"run": RUN, **query}).exception


def test_a_folder_whose_name_is_no_text_hides_no_other(tmp_path, monkeypatch):
    folder = put_run(tmp_path / "reports")
    os.rename(folder, os.fsencode(folder.parent) + b"/\xff<b>")
    put_run(tmp_path / "reports", "sound")
    odd = r"two_hop/\xff<b>"
    for page in ("", "explore", "intervene", "compare", "author"):
        app = start(monkeypatch, tmp_path, page, {"run": odd, "view": "report"})
        assert not app.exception
    assert odd in list(start(monkeypatch, tmp_path).dataframe[0].value["run"])


@pytest.mark.parametrize("claim", HOSTILE[:3])
def test_hostile_text_reaches_no_page_as_markup(tmp_path, monkeypatch, claim):
    outcomes = [
        make_outcome(intervention=text, expectation=text, expected=text, observed=text)
        for text in HOSTILE
    ]
    verdict = make_verdict(*outcomes, claim=claim, reason=claim, caveats=HOSTILE)
    changes = {
        "hypothesis.claim": claim,
        "hypothesis.tags": HOSTILE,
        "model.name": claim,
        "yaml": claim,
        "file": claim,
        "supernodes.texas.label": claim,
        "prompts.dallas.text": claim,
        "notes": HOSTILE,
    }
    for name in ("two_hop", "other"):
        put_run(tmp_path / "reports", name, verdict=verdict, **changes)
    pages = [
        ("", {"run": RUN, "view": "effects"}),
        ("compare", {"run": RUN, "with": f"other/{STAMP}", "compared": "file"}),
        ("author", {"from": f"run/{RUN}"}),
    ]
    for page, query in pages:
        app = start(monkeypatch, tmp_path, page, query)
        assert not app.exception
        for each in (
            *app.markdown,
            *app.caption,
            *app.subheader,
            *app.header,
            *app.title,
            *app.error,
        ):
            assert claim not in each.value
            assert "<style>" in each.value or not getattr(each.proto, "allow_html", False)


def test_a_folder_that_cannot_be_read_is_a_sentence(tmp_path, monkeypatch):
    put_run(tmp_path / "reports")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    app = start(monkeypatch, tmp_path)
    assert not app.exception
    assert "Permission denied" in app.error[0].value.replace("\\", "")
