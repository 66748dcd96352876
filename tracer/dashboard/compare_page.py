"""Compare: two runs, or one hypothesis on two models, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import streamlit as st

from tracer.dashboard import comparing, comparing_runs
from tracer.dashboard.compare_circuits import draw_circuits
from tracer.dashboard.compare_graphs import draw_graphs
from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.listing import ICONS
from tracer.dashboard.markdown import plain
from tracer.dashboard.opening import entries, opened
from tracer.dashboard.run_rows import CELL, facts, outcome_counts, shown
from tracer.dashboard.runs_page import OTHER, RUN
from tracer.dashboard.views import chosen_view
from tracer.regression.compare import Comparison
from tracer.regression.essentials import Essentials
from tracer.result import Run
from tracer.runs import RunEntry

_MOST_CAUSES = 20
_LONGEST_DIFF = 50_000
"""Characters of a diff that a page shows."""


@dataclass(frozen=True)
class _Pair:
    """The two runs as every view needs them."""

    a: Run
    b: Run
    left: Essentials
    right: Essentials
    comparison: Comparison


def render(dashboard: Dashboard) -> None:
    """Draw the page."""
    st.title("Compare")
    known = entries(dashboard.places.reports)
    if len(known) < 2:
        st.markdown("Comparing takes two runs; there are not that many yet.")
        return
    _on_two_models(known)
    left, right = st.columns(2)
    with left:
        a = _side(dashboard, known, "A", RUN)
    with right:
        b = _side(dashboard, known, "B", OTHER)
    if a is None or b is None:
        return
    old, new = a.essentials(), b.essentials()
    _views(_Pair(a, b, old, new, b.compare(old)))


def _on_two_models(known: Mapping[str, RunEntry]) -> None:
    """Choose both runs by a hypothesis and two of the models it was run on."""
    several = comparing.by_model(known.values())
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
    chosen = st.selectbox(
        side, list(known), index=None, key=key, bind="query-params", placeholder="Choose a run"
    )
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
        "expectations": _expectations,
        "effects": _effects,
        "circuit": _circuit,
        "graphs": _graphs,
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
    comparable = comparing_runs.unmatched(pair.a.record, pair.b.record) is None
    findings = [each for each in comparison.findings if comparable or each.kind != "supernode"]
    if not findings:
        st.markdown("Nothing: the same came out.")
        return
    allowed = comparison.tolerances
    st.dataframe(comparing.finding_rows(findings), hide_index=True)
    members = f", members with an overlap under {allowed.overlap:g}" if comparable else ""
    st.markdown(
        f"Counted as otherwise: an effect that moved by more than {allowed.effect:g} nats or "
        f"{100 * allowed.share:g} % of itself{members}."
    )


def _without_counterpart(pair: _Pair) -> None:
    """What cannot be compared, and why."""
    a, b = pair.a.record, pair.b.record
    told = [*comparing_runs.lone(a, b), *comparing_runs.retokenized(a, b)]
    reason = comparing_runs.unmatched(a, b)
    if told or reason:
        st.markdown("**Without a counterpart**")
        st.text("\n".join([*told, *([reason] if reason else [])]))


def _expectations(pair: _Pair) -> None:
    st.dataframe(comparing.outcome_rows(pair.left, pair.right), hide_index=True)


def _effects(pair: _Pair) -> None:
    rows = comparing.effect_rows(pair.left, pair.right)
    if rows:
        _effect_table(rows)
    else:
        st.markdown("Neither run has an intervention.")


def _effect_table(rows: list[comparing.Cells]) -> None:
    st.markdown("Change of a token's log-probability by the clamps, in nats.")
    number = st.column_config.NumberColumn(format="%+.2f")
    st.dataframe(
        rows,
        hide_index=True,
        column_config={"A (nats)": number, "B (nats)": number, "B − A": number},
        alt="Effects in both runs",
    )


def _circuit(pair: _Pair) -> None:
    """Both pictures, what the clamps did there, then the supernodes' members or sizes."""
    chosen = draw_circuits(pair.a.record, pair.b.record)
    if chosen is not None:
        rows = comparing.effect_rows(pair.left, pair.right, chosen.intervention, chosen.prompt)
        _effect_table(rows)
    reason = comparing_runs.unmatched(pair.a.record, pair.b.record)
    rows = comparing_runs.size_rows(pair.a.record, pair.b.record)
    if not rows:
        st.markdown("Neither run has a supernode.")
    elif reason is not None:
        st.text(reason)
        st.dataframe(rows, hide_index=True, alt="Supernodes by size and depth")
    else:
        st.markdown("Features of each supernode, by layer, index and place.")
        overlap = st.column_config.NumberColumn(format="%.2f")
        st.dataframe(
            comparing.member_rows(pair.left, pair.right),
            hide_index=True,
            column_config={"overlap": overlap},
            alt="Features of each supernode in one run and in both",
        )


def _graphs(pair: _Pair) -> None:
    draw_graphs(pair.a, pair.b)


def _file(pair: _Pair) -> None:
    """The declared files: what stands otherwise, and both whole."""
    a, b = pair.a.record, pair.b.record
    diff = comparing.file_diff(a.yaml, b.yaml)
    if diff:
        st.code(shown(diff, _LONGEST_DIFF), language="diff", wrap_lines=True)
    else:
        st.markdown("Both files say the same, word by word.")
    with st.expander("Both files whole", expanded=not diff):
        left, right = st.columns(2)
        for column, side, record in ((left, "A", a), (right, "B", b)):
            column.markdown(f"{side}: {plain(shown(record.file, CELL))}")
            if record.overrides:
                column.markdown(plain(shown("--set " + " --set ".join(record.overrides), CELL)))
            column.code(shown(record.yaml, _LONGEST_DIFF), language="yaml", wrap_lines=True)
