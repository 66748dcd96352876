"""Run folders and a running page, for tests of the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from tests.run_folders import measured_run
from tracer.dashboard.guard import SCRIPT
from tracer.record import run_folder
from tracer.record.verdict import Verdict
from tracer.report.run import judge_folder

APP = SCRIPT


def put_run(
    root: Path,
    name: str = "two_hop",
    stamp: str = "20260102T030405.000Z-0123ab",
    verdict: Verdict | None = None,
    **changes: Any,
) -> Path:
    """A judged run of a hypothesis, in its folder.

    With a verdict of the test's own it has no tensors: a page judges every run that has.
    """
    run_id = f"{name}/{stamp}"
    folder = measured_run(root, run_id, **{"hypothesis.hypothesis": name, **changes})
    if verdict is None:  # one that is not as expected counts as false
        verdict = judge_folder(folder).verdict
    else:
        run_folder.write(folder, run_folder.read_record(folder), {})
    run_folder.write_verdict(folder, verdict)
    return folder


def start(
    monkeypatch: pytest.MonkeyPatch,
    root: Path,
    page: str = "",
    query: Mapping[str, str] | None = None,
) -> AppTest:
    """The dashboard over `root`'s reports and drafts, drawn once at an address."""
    monkeypatch.setenv("TRACER_REPORTS", str(root / "reports"))
    monkeypatch.setenv("TRACER_DRAFTS", str(root / "drafts"))
    monkeypatch.setenv("TRACER_HYPOTHESES", str(root / "hypotheses"))
    monkeypatch.setenv("TRACER_GRAPHS", str(root / "graphs"))
    app = AppTest.from_file(str(APP), default_timeout=90)
    if page:
        app._page_hash = calc_hash(page)  # `switch_page` knows only pages that are files
    for name, value in (query or {}).items():
        app.query_params[name] = value
    return app.run()


def texts(app: AppTest) -> str:
    """Everything that the page shows as text."""
    kinds = (app.title, app.header, app.subheader, app.text, app.markdown, app.caption, app.code)
    return "\n".join(str(each.value) for kind in kinds for each in kind)
