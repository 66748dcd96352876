"""A record and its verdict as the report's template reads them: plain, formatted, in page order."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from tracer.evidence.case import gives_answer
from tracer.evidence.context import JudgedOutcomes
from tracer.record.record import PromptRecord, Record
from tracer.record.verdict import Verdict
from tracer.report.effects import Arrays, drawn_interventions, room_for
from tracer.report.limits import MAX_NOTES, MAX_PROMPTS, MAX_TEXT, Cut, cut, each_of, middle_out
from tracer.report.sections.circuits import CircuitView, circuit_views
from tracer.report.sections.details import Provenance, SupernodeView, provenance, supernode_views
from tracer.report.sections.expectations import OutcomeView, outcome_views
from tracer.report.sections.graphs import GraphView, graph_views
from tracer.report.sections.interventions import InterventionView, intervention_view
from tracer.report.sections.overview import (
    OUTCOMES,
    VERDICTS,
    Count,
    OverviewRow,
    count,
    overview_rows,
)
from tracer.report.sections.robustness import RobustnessView, robustness_view
from tracer.report.sections.shared import SharedView, shared_views
from tracer.report.sections.studies import Studies, study_views
from tracer.report.sections.texts import TextView, text_views
from tracer.report.text import percent, plural, visible_token

_FEWEST_CHARACTERS = 300


@dataclass(frozen=True)
class VerdictView:
    """The headline."""

    name: str
    icon: str
    reason: str
    declared: str
    as_expected: bool
    post_hoc: str
    """Told beside the headline; empty where nothing was changed afterwards."""


@dataclass(frozen=True)
class PromptView:
    """A prompt as the model saw it."""

    name: str
    split: str
    text: str
    answer: str
    top: str
    probability: str
    holds: bool


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    claim: str
    source: str | None
    link: str | None
    facts: tuple[str, ...]
    verdict: VerdictView
    caveats: Cut[str]
    post_hoc: Cut[str]
    glance: tuple[OverviewRow, ...]
    interventions: tuple[InterventionView, ...]
    undrawn: str
    """How many more interventions there are than the page draws; empty where it draws all."""
    studies: Studies
    texts: tuple[TextView, ...]
    shared: tuple[SharedView, ...]
    graphs: tuple[GraphView, ...]
    circuits: tuple[CircuitView, ...]
    robustness: RobustnessView | None
    counts: tuple[Count, ...]
    outcomes: tuple[OutcomeView, ...]
    unlisted: str
    """How many more outcomes there are than the page lists; empty where it lists all."""
    supernodes: tuple[SupernodeView, ...]
    prompts: tuple[PromptView, ...]
    unlisted_prompts: str
    provenance: Provenance


def page_view(record: Record, verdict: Verdict, arrays: Arrays) -> Page:
    """Everything the report says, ready to be written out."""
    hypothesis = record.hypothesis
    drawn = drawn_interventions(record, verdict.outcomes)
    judged = JudgedOutcomes(hypothesis, verdict.outcomes)
    room = room_for(len(drawn.kept))
    listed, prompts = outcome_views(verdict.outcomes), _prompts(record)
    interventions = tuple(
        intervention_view(record, name, arrays, judged, room) for name in drawn.kept
    )
    return Page(
        title=hypothesis.hypothesis,
        claim=verdict.claim,
        source=hypothesis.source,
        link=safe_link(hypothesis.source),
        facts=_facts(record, verdict),
        verdict=verdict_view(verdict),
        caveats=cut(
            list(dict.fromkeys((*verdict.caveats, *record.notes, *record.lock_notes))),
            MAX_NOTES,
            "remarks",
            "verdict.json and run.json",
        ),
        post_hoc=cut(verdict.post_hoc, MAX_NOTES, "changes", "verdict.json"),
        glance=overview_rows(record, interventions, verdict.outcomes),
        interventions=interventions,
        undrawn=drawn.told,
        studies=study_views(record, verdict),
        texts=text_views(record),
        shared=shared_views(record, arrays),
        graphs=graph_views(record),
        circuits=circuit_views(record, arrays),
        robustness=robustness_view(verdict.robustness),
        counts=count(OUTCOMES, [o.outcome for o in verdict.outcomes]),
        outcomes=listed.kept,
        unlisted=listed.told,
        supernodes=supernode_views(record),
        prompts=prompts.kept,
        unlisted_prompts=prompts.told,
        provenance=provenance(record),
    )


def safe_link(source: str | None) -> str | None:
    """The address if a browser would fetch it as a page, else None: it stays plain text."""
    if source is None or any(char.isspace() or not char.isprintable() for char in source):
        return None
    try:
        parts = urlsplit(source)
    except ValueError:
        return None
    return source if parts.scheme in ("http", "https") and parts.netloc else None


def verdict_view(verdict: Verdict) -> VerdictView:
    """The headline, with what the file declared told plainly."""
    return VerdictView(
        name=verdict.verdict,
        icon=VERDICTS[verdict.verdict],
        reason=verdict.reason,
        declared=_declared(verdict),
        as_expected=verdict.as_expected,
        post_hoc=_post_hoc(verdict),
    )


def _post_hoc(verdict: Verdict) -> str:
    if not verdict.post_hoc:
        return ""
    n = plural(len(verdict.post_hoc), "part")
    since = "measurement" if verdict.registered is None else "registration"
    return f"Post hoc: {n} of the file changed after the {since}."


def _declared(verdict: Verdict) -> str:
    if verdict.expected == "refuted":
        return {
            "refuted": "Published as a failure; failed as stated.",
            "confirmed": "Published as a failure, but it held here.",
            "inconclusive": "Published as a failure; not settled here.",
            "error": "Published as a failure; not measured here.",
        }[verdict.verdict]
    return "" if verdict.verdict == "confirmed" else "The file expected this to be confirmed."


def _facts(record: Record, verdict: Verdict) -> tuple[str, ...]:
    model = record.model
    started = record.started.replace("T", " ").removesuffix("Z")[:16] + " UTC"
    facts = (model.name, f"{record.basis} basis", f"{model.dtype} on {model.device}", started)
    if verdict.registered is not None:
        facts = (*facts, f"registered {verdict.registered.at.replace('T', ' ')[:16]} UTC")
    return facts if record.status == "complete" else (*facts, "still measuring")


def _split(prompt: PromptRecord, group: str | None) -> str:
    split = "held out" if prompt.held_out else "discovery"
    return split if group is None else f"{split}, group {group}"


def _prompts(record: Record) -> Cut[PromptView]:
    """The prompts of the file; long texts without their middle."""
    named = list(record.prompts.items())
    shown = cut(named, MAX_PROMPTS, "prompts", "run.json")
    length = each_of(MAX_TEXT, len(shown.kept), _FEWEST_CHARACTERS)
    declared = record.hypothesis.prompts
    views = tuple(_prompt(each, declared[name].group, length) for name, each in shown.kept)
    return Cut(views, shown.told)


def _prompt(prompt: PromptRecord, group: str | None, length: int) -> PromptView:
    top = prompt.baseline.top[0]
    return PromptView(
        name=prompt.name,
        split=_split(prompt, group),
        text=middle_out(prompt.text, length),
        answer=visible_token(prompt.answer) if prompt.answer is not None else "–",
        top=visible_token(top.token),
        probability=percent(top.probability),
        holds=gives_answer(prompt),
    )
