"""The report that a visitor can open without running anything."""

import re
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "reports" / "sample" / "two_hop.html"
ROOTED = re.compile(r"""(?:^|[\s"'`>=(\[,;:&]|file://)/[A-Za-z]\w+/""", re.MULTILINE)
"""Where a path from the root of a disk begins, whichever machine's it is."""


def test_the_sample_is_small_whole_and_tells_of_no_machine():
    page = SAMPLE.read_text(encoding="utf-8")
    assert len(page.encode()) < 2_000_000
    assert page.rstrip().endswith("</html>")
    assert "default-src &#39;none&#39;" in page and "data-graph>" in page
    for folder in ("root", "home", "Users", "tmp"):
        assert f"/{folder}/" not in page
    assert ROOTED.findall(page) == []
    assert ROOTED.findall(f'"{SAMPLE}" file://{SAMPLE}') != []
