"""The interactive graph's own style and script: the same text in a report and in the dashboard.

They are constants of this package and trusted as written; no text of a run ever goes into them. d3
is vendored as its authors built it, with its licence beside it (`view/d3.LICENSE`, ISC).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_VIEW = Path(__file__).parent / "view"


@cache
def graph_style() -> str:
    """Style sheet of the view; everything in it is below `.gv`."""
    return _read("graph.css")


@cache
def graph_script() -> str:
    """d3 and the view: a classic script that defines `mountGraph(element, data, options)`."""
    return "\n".join(_read(name) for name in ("d3.min.js", "layout.js", "panel.js", "graph.js"))


@cache
def graph_module() -> str:
    """The same as an ES module whose default export is a Streamlit component (version 2).

    `data` is `{hash, graph, selected, threshold}`, where `graph` is what `tracer.report.graph_data`
    makes, as JSON text, which is parsed only where `hash` is another one; it sets the state
    `selected` (a list of ids) and `threshold`. The component's HTML needs to hold nothing.
    """
    return f"{graph_script()}\n{_read('component.js')}"


@cache
def page_script() -> str:
    """What opens the graphs that a report carries."""
    return _read("page.js")


def _read(name: str) -> str:
    return (_VIEW / name).read_text(encoding="utf-8")
