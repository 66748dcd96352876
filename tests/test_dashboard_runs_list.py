from __future__ import annotations

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.dashboards import put_run
from tests.verdicts import make_verdict
from tracer.dashboard.dashboard import JOINER, plain
from tracer.dashboard.runs.list import RunFilters, counts, filtered
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
    assert counts(listed) == {"confirmed": 1, "refuted": 1, "unreadable": 1}


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
