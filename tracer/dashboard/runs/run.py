"""A run in a line and on a page: its state, verdict and tables, and which run an address names."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tracer.dashboard.dashboard import (
    PROMPT,
    RUN,
    Dashboard,
    chosen_view,
    file_code,
    plain,
    put_in_address,
    table,
)
from tracer.dashboard.opening import entries, opened, report_of
from tracer.evidence.context import JudgedOutcomes
from tracer.record.claim import is_claimed
from tracer.record.record import Record
from tracer.record.runs import RunEntry
from tracer.record.verdict import Verdict, VerdictName, rank
from tracer.report.headline import OUTCOMES, VERDICTS, count
from tracer.report.run import REPORT, Run
from tracer.report.summaries import intervention_summary
from tracer.report.text import clean, shorten

State = VerdictName | Literal["not judged", "measuring", "stopped", "unreadable"]
ICONS: Mapping[State, str] = {
    "confirmed": VERDICTS["confirmed"],
    "consistent": VERDICTS["consistent"],
    "refuted": VERDICTS["refuted"],
    "inconclusive": VERDICTS["inconclusive"],
    "error": VERDICTS["error"],
    "not judged": "–",
    "measuring": "…",
    "stopped": "◼",
    "unreadable": "⚠",
}
"""By state, in the order that filters list them."""
CELL, TEXT = 500, 2_000
"""Most characters of a cell, and of a text on a page; whole texts are in the report."""
_HEIGHT = 900
"""Of the report's frame, in pixels."""
_MOST_CAVEATS = 5
_LONGEST_NAME = 150
"""Characters of a downloaded file's name."""
_MANY = 2_000
"""Expectations; a report of so many takes more than a second to draw."""


def state_of(entry: RunEntry) -> State:
    """What there is to say of a run in one word."""
    if entry.status is None:
        return "unreadable"
    if entry.status == "measuring":
        return "measuring" if is_claimed(entry.folder) else "stopped"
    return entry.verdict or "not judged"


def when(started: str) -> str:
    """A time of the record as '2026-01-02 03:04'."""
    return started.replace("T", " ").removesuffix("Z")[:16]


def shown(text: str, limit: int = TEXT) -> str:
    """A text from a file, cut and with its control characters visible."""
    return shorten(str(clean(text)), limit)


def outcome_rows(verdict: Verdict) -> list[dict[str, str]]:
    """The expectations as a table."""
    return [
        {
            "outcome": f"{OUTCOMES[each.outcome]} {each.outcome}",
            "intervention": shown(each.intervention, CELL),
            "prompts": each.split,
            "expectation": shown(each.expectation, CELL),
            "expected": shown(each.expected, CELL),
            "observed": shown(each.observed, CELL),
            "reason": shown(each.reason or "", CELL),
        }
        for each in sorted(verdict.outcomes, key=rank)
    ]


def outcome_counts(verdict: Verdict) -> str:
    """'✔ 3 held, ✖ 1 failed'."""
    found = count(OUTCOMES, [each.outcome for each in verdict.outcomes])
    return ", ".join(f"{each.icon} {each.n} {each.name}" for each in found if each.n)


def effect_rows(run: Run) -> list[dict[str, str]]:
    """Each intervention on each split: what it did to the output, beside its controls."""
    judged = JudgedOutcomes(run.record.hypothesis, run.verdict.outcomes)
    return [
        {
            "intervention": shown(line.name, CELL),
            "clamps": shown("; ".join(map(" ".join, line.clamps)), CELL),
            "prompts": split,
            "top output": shown(summary.outputs, CELL),
            "measure": shown(line.measure or "", CELL),
            "effect (median)": summary.effect,
            "controls": summary.controls,
        }
        for name in run.record.interventions
        if name in run.record.hypothesis.interventions
        for line in (intervention_summary(run.record, name, run.arrays, judged),)
        for split, summary in (("discovery", line.discovery), ("held out", line.held_out))
        if summary is not None
    ]


def facts(record: Record) -> str:
    """Model, basis and time in one line."""
    model = record.model
    started = f"{when(record.started)} UTC"
    told = (model.name, f"{record.basis} basis", f"{model.dtype} on {model.device}", started)
    return shown(" · ".join(told), CELL)


def verdict_of(run: Run) -> None:
    """The headline of a run: what was claimed, whether it held, and what to be careful about."""
    verdict = run.verdict
    expected = "" if verdict.as_expected else f" (the file expected: {verdict.expected})"
    st.header(f"{ICONS[verdict.verdict]} {verdict.verdict}{expected}")
    st.markdown(f"**{plain(shown(verdict.claim))}**")
    st.text(shown(verdict.reason))
    st.markdown(plain(facts(run.record)))
    told = [shown(caveat) for caveat in verdict.caveats[:_MOST_CAVEATS]]
    more = len(verdict.caveats) - _MOST_CAVEATS
    told += [f"and {more} more in the report"] * (more > 0)
    if told:
        st.text("\n".join(f"⚠ {each}" for each in told))


def details(dashboard: Dashboard, run: Run) -> None:
    """What is chosen of: expectations, effects, the report, the hypothesis as it was declared."""
    views: Mapping[str, Callable[[Dashboard, Run], None]] = {
        "expectations": _expectations,
        "effects": _effects,
        "report": _report,
        "hypothesis": _hypothesis,
    }
    views[chosen_view(list(views), "view")](dashboard, run)


def _expectations(dashboard: Dashboard, run: Run) -> None:
    st.text(outcome_counts(run.verdict) or "Nothing was expected.")
    table(outcome_rows(run.verdict))


def _effects(dashboard: Dashboard, run: Run) -> None:
    if rows := effect_rows(run):
        table(rows)
    else:
        st.markdown("This run has no interventions.")


def _report(dashboard: Dashboard, run: Run) -> None:
    """In a frame of its own origin, where its scripts reach nothing of the dashboard."""
    n = len(run.verdict.outcomes)
    if n > _MANY and not st.button(f"Draw the report of {n:,} expectations, which takes a while"):
        return
    with st.spinner("Drawing the report"):
        html = report_of(dashboard.places.reports, run)
    told = f"{run.record.hypothesis.hypothesis}-{run.path.name}"[:_LONGEST_NAME]
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", told) + ".html"
    st.download_button("Download the report", html, name, "text/html", on_click="ignore")
    data = base64.b64encode(html.encode()).decode()
    st.iframe(f"data:text/html;charset=utf-8;base64,{data}", height=_HEIGHT, alt="Report")
    st.markdown(f"Also in the run's folder, as {REPORT}:")
    st.code(shown(str(run.path)), language=None, wrap_lines=True)


def _hypothesis(dashboard: Dashboard, run: Run) -> None:
    text, name = run.record.yaml, f"{run.record.hypothesis.hypothesis}.yaml"
    st.download_button("Download the file", text, name, "application/yaml", on_click="ignore")
    file_code(shown(text, 50 * TEXT), line_numbers=True)


def no_runs() -> None:
    """Say that there is no run, and how to make one."""
    st.markdown("There are no runs yet. Run a hypothesis on the page Author, or in a terminal:")
    st.code("tracer run hypotheses/two_hop.yaml", language="sh", wrap_lines=True)


def picked_run(dashboard: Dashboard, at: DeltaGenerator) -> Run | None:
    """The run; where there is none to show, the page says so.

    Args:
        dashboard: The drawing.
        at: Where the list of runs is drawn.
    """
    known = entries(dashboard.places.reports)
    if not known:
        no_runs()
        return None
    chosen = chosen_run("Run", RUN, known, at)
    assert chosen is not None
    found = opened(dashboard.places.reports, known[chosen])
    if isinstance(found, str):
        st.warning(plain(found))
        return None
    return found


def picked_prompt(record: Record, names: Sequence[str], at: DeltaGenerator) -> str:
    """One of these prompts."""
    # The address holds what the list shows, so names stand in it as they are.
    split = {name: "held out" if record.prompts[name].held_out else "discovery" for name in names}
    asked = (st.session_state.get(PROMPT), st.query_params.get(PROMPT))
    before = (*asked, st.session_state.get(f"last {PROMPT}"), names[0])
    now = next(name for name in before if name in split)
    return _chosen(f"Prompt ({split[now]})", PROMPT, names, at)


def run_names(known: Mapping[str, RunEntry]) -> dict[str, str]:
    """By id, runs as '✔ two_hop · 29 Nov 13:35': complete ones first, as they come.

    Runs of one name have the end of their id beside it.
    """
    named = {name: _name(entry) for name, entry in known.items()}
    times = Counter(named.values())
    first = sorted(known, key=lambda name: known[name].status != "complete")
    return {
        each: named[each] + (f" ({shown(each, CELL)[-6:]})" if times[named[each]] > 1 else "")
        for each in first
    }


def _name(entry: RunEntry) -> str:
    name = f"{ICONS[state_of(entry)]} {shown(entry.hypothesis, 80)}"
    try:
        at = datetime.fromisoformat(entry.started or "")
    except ValueError:
        return name
    return f"{name} · {at.day} {at:%b %H:%M}"


def chosen_run(
    label: str,
    key: str,
    known: Mapping[str, RunEntry],
    at: DeltaGenerator | None = None,
) -> str | None:
    """The id of one of the runs, as the list says, or as the address does where it is a new one.

    The list is not bound to the address, which holds ids and not names: and a link to another page
    would lose a `run` of its own. In a place of its own (`at`) a run is always chosen, the one
    chosen last or the first; else there may be none.
    """
    names, written, last = run_names(known), f"{key} written", f"last {key}"
    asked, now = st.query_params.get(key), st.session_state.pop(key, None)
    if asked in known and asked != st.session_state.get(written):
        now = asked
    elif at is not None and now not in known:
        now = st.session_state.get(last)
    if now in known:  # written anew: the list of another page is another widget of this key
        st.session_state[key] = now
    chosen = (at or st).selectbox(
        label,
        list(names),
        index=None if at is None else 0,
        format_func=names.__getitem__,
        key=key,
        placeholder="Choose a run",
    )
    put_in_address(key, chosen)
    st.session_state[written] = st.session_state[last] = chosen
    return chosen


def _chosen(label: str, key: str, names: Sequence[str], at: DeltaGenerator) -> str:
    """One of these; a page that is come to without an address goes on with what was chosen last."""
    last = f"last {key}"
    before = st.session_state.get(last)
    if key not in st.session_state and key not in st.query_params and before in names:
        st.session_state[key] = before
    chosen = at.selectbox(label, list(names), key=key, bind="query-params")
    st.session_state[last] = chosen
    return chosen
