"""The report: one HTML file that opens offline, made of nothing but a record and its verdict.

What comes from a file, a tokenizer or a model is untrusted. Every expression of every template is
cleaned and autoescaped, pictures are SVG made by the same templates, and the page's content
security policy admits exactly our own style and script, by hash. Same input, same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tracer.evidence.verdict import Verdict
from tracer.record import Record
from tracer.report.effects import Arrays
from tracer.report.graph_inline import pack
from tracer.report.graph_script import graph_script, graph_style, page_script
from tracer.report.run_graphs import RunGraphs
from tracer.report.text import clean
from tracer.report.views import page_view

_TEMPLATES = Path(__file__).parent / "templates"


def render(
    record: Record, verdict: Verdict, arrays: Arrays, graphs: RunGraphs | None = None
) -> str:
    """One run as a self-contained HTML page.

    Args:
        record: What was observed.
        verdict: What was judged.
        arrays: The tensors beside the record, by the names `tracer.record.Trial` gives them; where
            a trial's controls are missing they are not drawn.
        graphs: The graphs beside the record; None draws none.
    """
    found = graphs or RunGraphs()
    packed = pack(record, found)
    page = page_view(record, verdict, arrays)
    own = _GRAPHS if packed else _PLAIN
    return fill_template("report.html.j2", own, page=page, packed=packed, problems=found.problems)


@dataclass(frozen=True)
class Own:
    """Styles and scripts of this package that a page carries, trusted as written."""

    styles: tuple[Markup, ...]
    scripts: tuple[Markup, ...]

    @property
    def policy(self) -> str:
        """The content security policy that admits exactly these."""
        return (
            f"default-src 'none'; style-src {' '.join(map(_hash, self.styles))}; "
            f"script-src {' '.join(map(_hash, self.scripts))}; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        )


def fill_template(name: str, own: Own | None = None, **views: object) -> str:
    """A whole page: the template, its views, our styles and scripts, and the policy naming them."""
    return _environment().get_template(name).render(own=own or _PLAIN, **views)


def fill_picture(**views: object) -> str:
    """An SVG file in our style; it has no script."""
    template = _environment().get_template("picture.svg.j2")
    return template.render(style=_own("report.css"), **views)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=clean,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _own(name: str) -> Markup:
    return Markup("\n" + (_TEMPLATES / name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_PLAIN = Own((_own("report.css"),), (_own("report.js"),))
_GRAPHS = Own(
    (*_PLAIN.styles, Markup("\n" + graph_style())),
    (*_PLAIN.scripts, Markup("\n" + graph_script()), Markup("\n" + page_script())),
)
