"""The report: one HTML file that opens offline, made of nothing but a record and its verdict.

What comes from a file, a tokenizer or a model is untrusted. Every expression of every template is
cleaned and autoescaped, pictures are SVG made by the same templates, and the page's content
security policy admits exactly our own style and script, by hash. Same input, same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tracer.evidence.verdict import Verdict
from tracer.record import Record
from tracer.report.effects import Arrays
from tracer.report.text import clean
from tracer.report.views import page_view

_TEMPLATES = Path(__file__).parent / "templates"


def render(record: Record, verdict: Verdict, arrays: Arrays) -> str:
    """One run as a self-contained HTML page.

    `arrays` are the tensors beside the record, by the names `tracer.record.Trial` gives them;
    where a trial's controls are missing they are not drawn.
    """
    return fill_template("report.html.j2", page=page_view(record, verdict, arrays))


def fill_template(name: str, **views: object) -> str:
    """A whole page: the template, its views, our style and script, and the policy naming them."""
    style, script = _own("report.css"), _own("report.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    template = _environment().get_template(name)
    return template.render(style=style, script=script, policy=policy, **views)


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


@cache
def _own(name: str) -> Markup:
    """A style sheet or script of this package, trusted as written."""
    return Markup("\n" + (_TEMPLATES / name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
