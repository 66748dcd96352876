"""A tiny YAML to an HTML file, and the same bytes the second time, measured again or copied."""

import re

from tests.tiny_file import write_tiny
from tracer.cli.app import run_command

WHEN = r"\d{8}T\d{6}\.\d{3}Z|\d{4}-\d\d-\d\d[T ][\d:+]*|--out \w+( --no-cache)?"
TIMES_AND_CACHE = r"<dt>Wall time</dt><dd>.*?</dd>|\d of 2 trials"


def test_yaml_to_html(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path, tiny)
    pages = []
    for out, *more in (["first"], ["second", "--no-cache"], ["third"]):
        assert run_command(["run", "tiny.yaml", "--out", out, *more]) in (0, 1)
        [folder] = (tmp_path / out / "tiny").glob("*/")
        assert {p.name for p in folder.iterdir()} >= {"run.json", "report.html", "verdict.json"}
        pages.append(re.sub(WHEN, "", (folder / "report.html").read_text()))
    assert "0 of 2 trials" in pages[0] and "2 of 2 trials" in pages[2]
    measured, again, copied = (re.sub(TIMES_AND_CACHE, "", page) for page in pages)
    assert measured == again == copied
