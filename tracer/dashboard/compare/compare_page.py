"""The page Compare: two runs, or one hypothesis on two models, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tracer.dashboard.compare import tables
from tracer.dashboard.compare.graphs import draw_graphs
from tracer.dashboard.dashboard import (
    OTHER,
    RUN,
    Dashboard,
    author_link,
    chosen_view,
    file_code,
    plain,
    table,
)
from tracer.dashboard.opening import entries, opened
from tracer.dashboard.runs.run import (
    CELL,
    ICONS,
    chosen_run,
    facts,
    no_runs,
    outcome_counts,
    shown,
)
from tracer.evidence.baseline_run import Essentials
from tracer.evidence.regression import RunComparison
from tracer.record.record import Record
from tracer.record.runs import RunEntry
from tracer.record.trials import Trial
from tracer.report.circuit_diagram import circuit
from tracer.report.outputs import asked_tokens, bar_limit, output_bars
from tracer.report.render import bars_picture, circuit_picture
from tracer.report.run import Run

INTERVENTION, PROMPT = "intervention", "on"
"""In the address."""
_MOST_CAUSES = 20
_LONGEST_DIFF = 50_000
"""Characters of a diff that a page shows."""
_WIDTH = 500.0
"""Pixels of a picture that shares the page with another."""


class ChosenTrial(NamedTuple):
    """What is looked at in both runs."""

    intervention: str
    prompt: str


def draw_circuits(a: Record, b: Record) -> ChosenTrial | None:
    """Choose an intervention and a prompt, and draw both; None where there is none to choose."""
    drawable = (_drawable(a), _drawable(b))
    names = _together(*drawable)
    if not names:
        return None
    left, right = st.columns(2)
    name = left.selectbox("Intervention", names, key=INTERVENTION, bind="query-params")
    of_name = [each.get(name, {}) for each in drawable]
    prompt = right.selectbox("On prompt", _together(*of_name), key=PROMPT, bind="query-params")
    trials = [each.get(prompt) for each in of_name]
    limit = _limit(a, b, trials)
    for side, column, record, trial in zip("AB", st.columns(2), (a, b), trials, strict=True):
        column.markdown(f"**{side}** {plain(shown(record.model.name, CELL))}")
        if trial is None:
            column.markdown(f"{plain(name)} was not measured on {plain(prompt)} here.")
        else:
            _draw(column, record, name, trial, limit)
    st.markdown(
        "Up is a deeper layer, right a later token. Percentages: activation after the clamp; "
        "orange: the clamp; outputs hatched unclamped, solid clamped, on one scale in A and B."
    )
    return ChosenTrial(name, prompt)


def _drawable(record: Record) -> dict[str, Mapping[str, Trial]]:
    return {
        name: found.trials
        for name, found in record.interventions.items()
        if name in record.hypothesis.interventions and found.trials
    }


def _together(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    """Names of either, those of both first."""
    return sorted(dict.fromkeys([*a, *b]), key=lambda name: not (name in a and name in b))


def _limit(a: Record, b: Record, trials: Sequence[Trial | None]) -> float:
    there = zip((a, b), trials, strict=True)
    found = [bar_limit(each, [t]) for each, t in there if t is not None and t.problem is None]
    return max(found, default=1.0)


def _draw(place: DeltaGenerator, record: Record, name: str, trial: Trial, limit: float) -> None:
    if trial.problem is not None:
        place.warning(plain(trial.problem))
        return
    drawn = circuit(record, name, trial.prompt, width=_WIDTH)
    place.image(circuit_picture(drawn), width="stretch", alt=shown(drawn.description))
    bars = output_bars(record, trial, limit, asked_tokens(record, name))
    place.image(bars_picture(bars), alt=f"Outputs of {trial.prompt}, unclamped and clamped")


@dataclass(frozen=True)
class _Pair:
    a: Run
    b: Run
    left: Essentials
    right: Essentials
    comparison: RunComparison


def render(dashboard: Dashboard) -> None:
    """Draw the page."""
    st.title("Compare")
    known = entries(dashboard.places.reports)
    if len(known) < 2:
        st.markdown("Comparing takes two runs; there are not that many yet.")
        if known:
            st.markdown("Run its hypothesis again, changed or on another model:")
            author_link(dashboard, f"run/{next(iter(known))}")
        else:
            no_runs()
        return
    _on_two_models(known)
    left, right = st.columns(2)
    with left:
        a = _side(dashboard, known, "A", RUN)
    with right:
        b = _side(dashboard, known, "B", OTHER)
    if a is None or b is None:
        st.markdown("Choose a run for A and one for B, or mark two rows in Runs.")
        return
    old, new = a.essentials(), b.essentials()
    _views(_Pair(a, b, old, new, b.compare(old)))


def _on_two_models(known: Mapping[str, RunEntry]) -> None:
    several = tables.by_model(known.values())
    if not several:
        return
    with st.expander("One hypothesis on two models"):
        name = st.selectbox("Hypothesis", list(several))
        models = several[name]
        left, right = st.columns(2)
        first = left.selectbox("Model of A", list(models), key="first-model")
        second = right.selectbox("Model of B", list(models), index=1, key="second-model")

        def choose() -> None:
            st.session_state[RUN], st.session_state[OTHER] = models[first], models[second]

        st.button("Compare their newest runs", on_click=choose)


def _side(dashboard: Dashboard, known: Mapping[str, RunEntry], side: str, key: str) -> Run | None:
    chosen = chosen_run(side, key, known)
    if chosen is None:
        return None
    found = opened(dashboard.places.reports, known[chosen])
    if isinstance(found, str):
        st.text(shown(found))
        return None
    verdict = found.verdict
    st.header(f"{ICONS[verdict.verdict]} {verdict.verdict}")
    st.markdown(f"**{plain(shown(verdict.claim))}**")
    st.text(shown(verdict.reason))
    st.text(outcome_counts(verdict))
    st.markdown(plain(facts(found.record)))
    return found


def _views(pair: _Pair) -> None:
    views: Mapping[str, Callable[[_Pair], None]] = {
        "differences": _differences,
        "expectations": lambda pair: table(tables.outcome_rows(pair.left, pair.right)),
        "effects": _effects,
        "circuit": _circuit,
        "graphs": lambda pair: draw_graphs(pair.a, pair.b),
        "file": _file,
    }
    views[chosen_view(list(views), "compared")](pair)


def _differences(pair: _Pair) -> None:
    comparison = pair.comparison
    st.markdown("**Put in otherwise in B**")
    causes = [f"- {plain(shown(cause, CELL))}" for cause in comparison.changed[:_MOST_CAUSES]]
    if len(comparison.changed) > _MOST_CAUSES:
        causes.append(f"- and {len(comparison.changed) - _MOST_CAUSES} more")
    st.markdown("\n".join(causes) or "Nothing that is recorded.")
    _without_counterpart(pair)
    st.markdown("**Came out otherwise**")
    comparable = tables.unmatched(pair.a.record, pair.b.record) is None
    findings = [each for each in comparison.findings if comparable or each.kind != "supernode"]
    if not findings:
        st.markdown("Nothing: the same came out.")
        return
    allowed = comparison.tolerances
    table(tables.finding_rows(findings))
    members = f", members with an overlap under {allowed.overlap:g}" if comparable else ""
    st.markdown(
        f"Counted as otherwise: an effect that moved by more than {allowed.effect:g} nats or "
        f"{100 * allowed.share:g} % of itself{members}."
    )


def _without_counterpart(pair: _Pair) -> None:
    a, b = pair.a.record, pair.b.record
    told = [*tables.lone(a, b), *tables.retokenized(a, b), tables.unmatched(a, b)]
    if any(told):
        st.markdown("**Without a counterpart**")
        st.text("\n".join(filter(None, told)))


def _effects(pair: _Pair) -> None:
    if rows := tables.effect_rows(pair.left, pair.right):
        _effect_table(rows)
    else:
        st.markdown("Neither run has an intervention.")


def _effect_table(rows: list[tables.Cells]) -> None:
    st.markdown("Change of a token's log-probability by the clamps, in nats.")
    numbers = ("A (nats)", "B (nats)", "B − A")
    table(rows, "Effects in both runs", numbers=numbers, form="%+.2f")


def _circuit(pair: _Pair) -> None:
    chosen = draw_circuits(pair.a.record, pair.b.record)
    if chosen is not None:
        _effect_table(tables.effect_rows(pair.left, pair.right, *chosen))
    reason = tables.unmatched(pair.a.record, pair.b.record)
    rows = tables.size_rows(pair.a.record, pair.b.record)
    if not rows:
        st.markdown("Neither run has a supernode.")
    elif reason is not None:
        st.text(reason)
        table(rows, "Supernodes by size and depth")
    else:
        st.markdown("Features of each supernode, by layer, index and place.")
        members = tables.member_rows(pair.left, pair.right)
        alt = "Features of each supernode in one run and in both"
        table(members, alt, numbers=("overlap",), form="%.2f")


def _file(pair: _Pair) -> None:
    a, b = pair.a.record, pair.b.record
    diff = tables.file_diff(a.yaml, b.yaml)
    if diff:
        file_code(shown(diff, _LONGEST_DIFF), "diff")
    else:
        st.markdown("Both files say the same, word by word.")
    with st.expander("Both files whole", expanded=not diff):
        left, right = st.columns(2)
        for column, side, record in ((left, "A", a), (right, "B", b)):
            column.markdown(f"{side}: {plain(shown(record.file, CELL))}")
            if record.overrides:
                column.markdown(plain(shown("--set " + " --set ".join(record.overrides), CELL)))
            file_code(shown(record.yaml, _LONGEST_DIFF), on=column)
