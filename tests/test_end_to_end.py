"""A tiny YAML to an HTML file, and the same bytes the second time."""

import re

from tests.tiny_file import write_tiny
from tracer.cli.app import run_command


def test_yaml_to_html(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path, tiny)
    pages = []
    for out in ("first", "second"):
        assert run_command(["run", "tiny.yaml", "--out", out]) in (0, 1)
        [folder] = (tmp_path / out / "tiny").glob("*/")
        assert {p.name for p in folder.iterdir()} >= {"run.json", "report.html", "verdict.json"}
        page = (folder / "report.html").read_text()
        pages.append(re.sub(r"\d{8}T\d{6}\.\d{3}Z|\d{4}-\d\d-\d\d[T ][\d:+]*|--out \w+", "", page))
    assert "0 of 2 trials" in pages[0] and "2 of 2 trials" in pages[1]
    what_differs = r"[\d.]+ s\b|\d of 2 trials"
    without_times_and_cache = [re.sub(what_differs, "", page) for page in pages]
    assert without_times_and_cache[0] == without_times_and_cache[1]
