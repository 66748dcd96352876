"""The page Intervene: clamp a run's supernodes by hand on the loaded model."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard import intervene, model
from tracer.dashboard.dashboard import (
    EXPLORED,
    START,
    Dashboard,
    marked_rows,
    plain,
    put_in_address,
)
from tracer.dashboard.explore.groups import Groups, hand_groups
from tracer.dashboard.intervene.attempt import (
    NAME,
    Attempt,
    Clamping,
    declare,
    default_measure,
    preset,
)
from tracer.dashboard.intervene.form import attempt_form
from tracer.dashboard.intervene.result import (
    Try,
    draft_panel,
    draw,
    keep_try,
    made_before,
    tell_mistakes,
    tries,
    try_rows,
)
from tracer.dashboard.runs.run import picked_prompt, picked_run, shown
from tracer.engine.progress import Silent
from tracer.errors import TracerError
from tracer.evidence.context import JudgedOutcomes
from tracer.evidence.judge import judge_alone
from tracer.record.record import Record
from tracer.report.run import Run

_EMPTY, _BY_HAND = "nothing", "by hand"
_WORDS = {_EMPTY: "one ablation", _BY_HAND: "those made in Explore, ablated"}


def render(dashboard: Dashboard) -> None:
    """Draw the page."""
    st.title("Intervene")
    left, right = st.columns([3, 2])
    run = picked_run(dashboard, left)
    if run is None:
        return
    prompt = picked_prompt(run.record, list(run.record.prompts), right)
    st.text(shown(run.record.prompts[prompt].text))
    reason = model.absent() or st.session_state.get(_failed(run.record))
    if reason:
        st.warning(plain(reason))
        _recorded(run, prompt)
        if not model.absent() and st.button("Try to load the model again"):
            del st.session_state[_failed(run.record)]
            st.rerun()
        return
    above = st.container()
    _try_out(dashboard, run, prompt)
    with above:
        _model_line(run.record)
    with st.expander("What the run recorded"):
        _recorded(run, prompt)


def _failed(record: Record) -> str:
    return "failed " + repr(model.key_of(record))


def _model_line(record: Record) -> None:
    key = model.key_of(record)
    left, right = st.columns([4, 1], vertical_alignment="center")
    device = model.device_of(key)
    told = f"in memory on {device}" if device else "loaded at the first try"
    left.markdown(f"Model {plain(key[0])}, features {plain(key[4])}: {plain(told)}")
    if device not in (None, record.model.device):
        here = f"The run was measured on {record.model.device}; here the last digits may differ."
        left.markdown(plain(here))
    if device and right.button("Free the model"):
        model.free()
        st.rerun()


def _try_out(dashboard: Dashboard, run: Run, prompt: str) -> None:
    """The clamps, and what they did beside them; below, the log and the draft."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        groups = hand_groups(run.record.id, prompt)
        attempt = _attempt(run.record, prompt, groups)
    with right:
        if attempt is not None:
            _run(run, attempt, groups)
        number = _result(run)
    if number is not None:
        draft_panel(dashboard, run.record, tries(run.record.id)[number], number)


def _attempt(record: Record, prompt: str, groups: Groups) -> Attempt | None:
    """Draw the form; what it asks for, once it is sent."""
    start = _start(record, prompt, groups)
    names = st.multiselect(
        "Supernodes to clamp",
        [*record.supernodes, *groups],
        [clamp.supernode for clamp in start.clamps],
        key=f"clamped-{hash((record.id, start))}",
    )
    if names:
        return attempt_form(record, names, start, f"{record.id} {start}")
    st.markdown("Choose a supernode. More are made in Explore, out of nodes of the graph.")
    return None


def _start(record: Record, prompt: str, groups: Groups) -> Attempt:
    """What the form shows first; who comes from Explore finds what was made there."""
    made = record.hypothesis.interventions.items()
    own = [
        n for n, s in made if prompt in s.prompts and not s.attention
    ]  # the form sets no pattern
    key = f"start-{hash((record.id, prompt))}"
    if st.query_params.get(START) == EXPLORED and groups:
        st.session_state[key] = _BY_HAND
    put_in_address(START, None)
    options = [*own, *([_BY_HAND] if groups else []), _EMPTY]
    words = {name: _WORDS.get(name, name) for name in options}
    chosen = st.selectbox("Start from", options, format_func=words.__getitem__, key=key)
    if chosen not in _WORDS:
        return preset(record, chosen, prompt)
    first = list(groups) if chosen == _BY_HAND else list(record.supernodes)[:1]
    clamps = tuple(Clamping(name, "ablate") for name in first)
    return Attempt(prompt, clamps, default_measure(record.prompts[prompt]))


def _run(run: Run, attempt: Attempt, groups: Groups) -> None:
    record = run.record
    again = made_before(record.id, attempt, groups)
    if again is not None:
        st.session_state["shown try"] = tries(record.id).index(again)
        st.markdown("The same try was made before; here it is again.")
        return
    try:
        with st.spinner("Loading the model, once…"):
            held = model.hold(model.key_of(record))
    except TracerError as error:
        st.session_state[_failed(record)] = str(error)
        st.rerun()
    try:
        declared = declare(record, groups, attempt)
        with st.spinner("Clamping…"), held.lock:
            tried = intervene.measure.try_out(held.opened, record, declared, Silent())
    except TracerError as error:
        tell_mistakes(error)
        return
    keep_try(Try(record.id, attempt, groups, tried))
    st.session_state["shown try"] = len(tries(record.id)) - 1


def _result(run: Run) -> int | None:
    """Draw a try of this session, and the log of all of them under it; its number."""
    listed = tries(run.record.id)
    if not listed:
        st.markdown("What the clamps did will stand here.")
        return None
    shown_at = st.container()
    st.header("Tries of this session")
    key = f"log-{len(listed)}"
    rows = marked_rows(try_rows(listed), "Tries of this session", key, mode="single-row")
    number = rows[0] if rows else st.session_state.get("shown try", len(listed) - 1)
    number = min(number, len(listed) - 1)
    with shown_at:
        _draw_try(listed[number], number)
    return number


def _draw_try(each: Try, number: int) -> None:
    st.header(f"Try {number + 1}")
    for note in each.tried.notes:
        st.warning(plain(note))
    record, arrays = each.tried.record, each.tried.arrays
    beside = list(dict.fromkeys([*each.groups, *record.supernodes]))
    draw(record, NAME, each.attempt.prompt, arrays, judge_alone(record, arrays), beside)


def _recorded(run: Run, prompt: str) -> None:
    names = [n for n, found in run.record.interventions.items() if prompt in found.trials]
    own = [name for name in names if name in run.record.hypothesis.interventions]
    if not own:
        st.markdown("The run recorded no intervention on this prompt.")
        return
    chosen = st.selectbox("Recorded intervention", own, key="recorded")
    judged = JudgedOutcomes(run.record.hypothesis, run.verdict.outcomes)
    draw(run.record, chosen, prompt, run.arrays, judged)
