"""The report: one HTML file that opens offline, made of nothing but a record and its verdict.

`page_view` is the page as its template reads it: the head, then the sections in order.

What comes from a file, a tokenizer or a model is untrusted. Every expression of every template is
cleaned and autoescaped, pictures are SVG made by the same templates, and the page's content
security policy admits exactly our own styles and scripts, by hash. These are constants of this
package; d3 is vendored as its authors built it, its licence beside it (`view/d3.LICENSE`, ISC).
Same input, same bytes.

A picture of a report is also drawn as an SVG file of its own. A browser runs no script in an image
and loads nothing for it, whatever its text says.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tracer.record.arrays import Arrays
from tracer.record.cross_basis import CrossBasis
from tracer.record.record import Record
from tracer.record.verdict import Verdict
from tracer.report import text
from tracer.report.agreement import AgreementView
from tracer.report.circuit_diagram import CircuitDrawing
from tracer.report.head_reason import ReasonView
from tracer.report.headline import OUTCOMES, VerdictView, safe_link, verdict_view
from tracer.report.plots import Bars, DosePanel, Strip
from tracer.report.run_graphs import InlineGraph, RunGraphs
from tracer.report.sections.registry import SECTIONS, ReportData, Section
from tracer.report.supernode_diagram import SupernodeDiagram

_HERE = Path(__file__).parent
_TEMPLATES, _SECTIONS, _VIEW = (_HERE / name for name in ("templates", "sections", "view"))
MARGIN = 10.0
"""Pixels around a picture."""


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    claim: str
    source: str | None
    link: str | None
    """The source as an address, where it is one."""
    facts: tuple[str, ...]
    verdict: VerdictView
    n_failed: int
    """Expectations that failed."""
    sections: tuple[tuple[Section, object], ...]
    """Each that has something to show, with its view."""
    inline_graphs: tuple[InlineGraph, ...]


def page_view(data: ReportData) -> Page:
    """Everything the report says, ready to be written out."""
    hypothesis = data.record.hypothesis
    views = ((section, section.view(data)) for section in SECTIONS)
    return Page(
        title=hypothesis.hypothesis,
        claim=data.verdict.claim,
        source=hypothesis.source,
        link=safe_link(hypothesis.source),
        facts=_facts(data.record, data.verdict),
        verdict=verdict_view(data.verdict),
        n_failed=sum(each.outcome == "failed" for each in data.verdict.outcomes),
        sections=tuple((section, view) for section, view in views if view is not None),
        inline_graphs=data.inline_graphs,
    )


def _facts(record: Record, verdict: Verdict) -> tuple[str, ...]:
    model = record.model
    started = record.started.replace("T", " ").removesuffix("Z")[:16] + " UTC"
    facts = (model.name, f"{record.basis} basis", f"{model.dtype} on {model.device}", started)
    if verdict.registered is not None:
        facts = (*facts, f"registered {verdict.registered.at.replace('T', ' ')[:16]} UTC")
    return facts if record.status == "complete" else (*facts, "still measuring")


def render(
    record: Record,
    verdict: Verdict,
    arrays: Arrays,
    graphs: RunGraphs | None = None,
    bases: CrossBasis | None = None,
) -> str:
    """One run as a self-contained HTML page.

    Args:
        record: What was observed.
        verdict: What was judged.
        arrays: The tensors beside the record, by the names that `tracer.record.trials.Trial` gives
            them; where a trial's controls are missing they are not drawn.
        graphs: The graphs beside the record; None draws none.
        bases: The run beside those in other feature bases.
    """
    page = page_view(ReportData(record, verdict, arrays, graphs or RunGraphs(), bases))
    own = _GRAPHS if page.inline_graphs else _PLAIN
    return fill_template("report.html.j2", own, page=page)


def render_graph(
    graph: InlineGraph,
    reason: ReasonView | None = None,
    agreement: AgreementView | None = None,
) -> str:
    """One graph as a page of its own, with the view that a report has.

    Args:
        graph: It, packed.
        reason: Why a head looks somewhere, where that was asked.
        agreement: Over how many prompts it is, of a consensus.
    """
    own = _GRAPHS if reason is None else _REASONS
    return fill_template("graph.html.j2", own, graph=graph, reason=reason, agreement=agreement)


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


def circuit_picture(circuit: CircuitDrawing) -> str:
    """The supernodes of an intervention on a prompt."""
    return _picture("circuit", circuit)


def supernodes_picture(drawn: SupernodeDiagram) -> str:
    """The supernodes of a graph with the effects between them."""
    return _picture("supernodes", drawn)


def bars_picture(bars: Bars) -> str:
    """The most probable outputs, unclamped over clamped."""
    return _picture("bars", bars)


def strip_picture(strip: Strip) -> str:
    """An effect beside its matched controls."""
    return _picture("strip", strip)


def dose_picture(panel: DosePanel) -> str:
    """One prompt's dose series."""
    return _picture("dose", panel)


def _picture(kind: str, view: CircuitDrawing | SupernodeDiagram | Bars | Strip | DosePanel) -> str:
    template = _environment().get_template("picture.svg.j2")
    return template.render(
        style=_own("report.css"),
        kind=kind,
        view=view,
        margin=MARGIN,
        width=view.width + 2 * MARGIN,
        height=view.height + 2 * MARGIN,
    )


@cache
def graph_style() -> str:
    """Style sheet of the interactive graph; everything in it is below `.gv`."""
    return _read("graph.css")


@cache
def graph_script() -> str:
    """d3 and the view: a classic script that defines `mountGraph(element, data, options)`."""
    return "\n".join(map(_read, ("d3.min.js", "layout.js", "panel.js", "graph.js")))


@cache
def graph_module() -> str:
    """The same as an ES module whose default export is a Streamlit component (version 2).

    `data` is `{hash, graph, selected, threshold}`, where `graph` is what `tracer.report.graph_view`
    makes, as JSON text, which is parsed only where `hash` is another one; it sets the state
    `selected` (a list of ids) and `threshold`. The component's HTML needs to hold nothing.
    """
    return f"{graph_script()}\n{_read('component.js')}"


@cache
def pattern_style() -> str:
    """Style sheet of a drawn pattern."""
    return f"{graph_style()}\n{_read('pattern.css')}"


@cache
def pattern_module() -> str:
    """A drawn pattern as a component, like `graph_module`.

    `data` is `{pattern}`, the JSON of `tracer.report.head_reason.PatternData`; it sets the trigger
    `picked`, the positions of query and key of a chosen cell.
    """
    return "\n".join(map(_read, ("panel.js", "pattern.js", "pattern_component.js")))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader((_TEMPLATES, _SECTIONS)),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=text.clean,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    formats = (text.interval, text.p_value, text.percent, text.visible_token, text.held)
    environment.filters.update({each.__name__: each for each in formats})
    environment.filters["icon"] = OUTCOMES.__getitem__
    return environment


def _read(name: str) -> str:
    return (_VIEW / name).read_text(encoding="utf-8")


def _own(name: str) -> Markup:
    return Markup("\n" + (_TEMPLATES / name).read_text(encoding="utf-8"))


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_PLAIN = Own((_own("report.css"),), (_own("report.js"),))
_GRAPHS = Own(
    (*_PLAIN.styles, Markup("\n" + graph_style())),
    (*_PLAIN.scripts, Markup("\n" + graph_script()), Markup("\n" + _read("page.js"))),
)
_REASONS = Own(
    (*_GRAPHS.styles, Markup("\n" + _read("pattern.css"))),
    (*_GRAPHS.scripts, *(Markup("\n" + _read(each)) for each in ("pattern.js", "pattern_page.js"))),
)
