"""A record and its verdict as the report's template reads them: plain, formatted, in page order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tracer.evidence.verdict import Outcome, PromptOutcome, Verdict
from tracer.hypothesis.robustness_rules import ROBUSTNESS
from tracer.record import PromptRecord, Record
from tracer.report.circuits import CircuitView, circuit_views
from tracer.report.effects import Arrays, answer_holds
from tracer.report.generation import TextView, text_views
from tracer.report.glance import OUTCOMES, VERDICTS, Count, GlanceRow, count, glance_rows
from tracer.report.graphs import GraphView, graph_views
from tracer.report.interventions import InterventionView, intervention_view
from tracer.report.members import SupernodeView, supernode_view
from tracer.report.provenance import Provenance, provenance
from tracer.report.robustness import RobustnessView, robustness_view
from tracer.report.sharing import SharedView, shared_views
from tracer.report.studies import Studies, study_views
from tracer.report.text import number, p_value, percent, plural, show_token

MAX_LISTED = 500
"""Expectations that a page lists; a browser is slow with more, and nobody reads them."""


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
class PromptLine:
    """An expectation on one prompt."""

    prompt: str
    name: str
    icon: str
    observed: str
    p: str
    reason: str


@dataclass(frozen=True)
class OutcomeView:
    """An expectation as a row."""

    intervention: str
    split: str
    expectation: str
    expected: str
    observed: str
    interval: str
    name: str
    icon: str
    reason: str
    summary: str
    open: bool
    prompts: tuple[PromptLine, ...]


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
    caveats: tuple[str, ...]
    post_hoc: tuple[str, ...]
    glance: tuple[GlanceRow, ...]
    interventions: tuple[InterventionView, ...]
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
    provenance: Provenance


def page_view(record: Record, verdict: Verdict, arrays: Arrays) -> Page:
    """Everything the report says, ready to be written out."""
    hypothesis = record.hypothesis
    interventions = tuple(
        intervention_view(record, n, arrays)
        for n in record.interventions
        if n in hypothesis.interventions
    )
    return Page(
        title=hypothesis.hypothesis,
        claim=verdict.claim,
        source=hypothesis.source,
        link=safe_link(hypothesis.source),
        facts=_facts(record, verdict),
        verdict=verdict_view(verdict),
        caveats=(*verdict.caveats, *record.notes, *record.lock_notes),
        post_hoc=verdict.post_hoc,
        glance=glance_rows(record, interventions, verdict.outcomes),
        interventions=interventions,
        studies=study_views(record, verdict),
        texts=text_views(record),
        shared=shared_views(record, arrays),
        graphs=graph_views(record),
        circuits=circuit_views(record, arrays),
        robustness=robustness_view(verdict.robustness),
        counts=count(OUTCOMES, [o.outcome for o in verdict.outcomes]),
        outcomes=tuple(_outcome(o) for o in _worst_first(verdict.outcomes)[:MAX_LISTED]),
        unlisted=_unlisted(len(verdict.outcomes)),
        supernodes=tuple(supernode_view(record, s) for s in record.supernodes.values()),
        prompts=tuple(_prompt(p, hypothesis.prompts[n].group) for n, p in record.prompts.items()),
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


def _unlisted(n: int) -> str:
    if n <= MAX_LISTED:
        return ""
    return f"Listed: the {MAX_LISTED:,} worst of {n:,}. All of them are in verdict.json."


def _worst_first(outcomes: Sequence[Outcome]) -> list[Outcome]:
    order = ["failed", "untested", "held"]
    return sorted(outcomes, key=lambda o: order.index(o.outcome))


def _outcome(outcome: Outcome) -> OutcomeView:
    told = {"held": outcome.n_held, "failed": outcome.n_failed, "untested": outcome.n_untested}
    parts = [f"{n} {name}" for name, n in told.items() if n]
    return OutcomeView(
        intervention=outcome.intervention,
        split=outcome.split,
        expectation=outcome.expectation,
        expected=outcome.expected,
        observed=outcome.observed,
        interval="–" if outcome.wilson is None else _interval(outcome.wilson),
        name=outcome.outcome,
        icon=OUTCOMES[outcome.outcome],
        reason=outcome.reason or "",
        summary=_summary(outcome, ", ".join(parts)),
        open=outcome.outcome != "held",
        prompts=tuple(_prompt_line(p) for p in outcome.prompts),
    )


def _summary(outcome: Outcome, counts: str) -> str:
    rule = f"at least {outcome.needed} must hold" if outcome.needed else "one test of all of them"
    mean = f"; {outcome.mean.text}" if outcome.mean else ""
    unit = "variation" if outcome.intervention == ROBUSTNESS else "prompt"
    return f"{plural(len(outcome.prompts), unit)}: {counts} ({rule}){mean}"


def _interval(wilson: tuple[float, float]) -> str:
    low, high = (number(100 * bound, 0) for bound in wilson)
    return f"{low}–{high} %"


def _prompt_line(outcome: PromptOutcome) -> PromptLine:
    return PromptLine(
        prompt=outcome.prompt,
        name=outcome.outcome,
        icon=OUTCOMES[outcome.outcome],
        observed=outcome.observed,
        p=p_value(outcome.p) if outcome.p is not None else "–",
        reason=outcome.reason or "",
    )


def _split(prompt: PromptRecord, group: str | None) -> str:
    split = "held out" if prompt.held_out else "discovery"
    return split if group is None else f"{split}, group {group}"


def _prompt(prompt: PromptRecord, group: str | None) -> PromptView:
    top = prompt.baseline.top[0]
    return PromptView(
        name=prompt.name,
        split=_split(prompt, group),
        text=prompt.text,
        answer=show_token(prompt.answer) if prompt.answer is not None else "–",
        top=show_token(top.token),
        probability=percent(top.probability),
        holds=answer_holds(prompt),
    )
