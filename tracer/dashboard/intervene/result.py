"""What an intervention did to one prompt, drawn: recorded in a run, or tried a moment ago.

From a try to a draft: which of what was seen shall be expected, and the YAML that says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tracer.dashboard.author import drafts
from tracer.dashboard.author.hypothesis_files import DRAFT
from tracer.dashboard.dashboard import FROM, Dashboard, plain
from tracer.dashboard.intervene.draft import draft_text, expecting, snippet
from tracer.dashboard.intervene.suggested_expectation import suggested_expectations
from tracer.dashboard.intervene.tries import Try
from tracer.dashboard.runs.run import shown
from tracer.errors import HypothesisError, UsageError
from tracer.evidence.context import JudgedOutcomes
from tracer.record.arrays import Arrays
from tracer.record.record import Record
from tracer.record.trials import Generated, InterventionRecord, Reading, Trial
from tracer.report.circuit_diagram import CircuitDrawing, circuit
from tracer.report.effects import compare, measures
from tracer.report.outputs import probability
from tracer.report.picture import bars_picture, circuit_picture, dose_picture, strip_picture
from tracer.report.sections.doses import DoseView
from tracer.report.sections.interventions import InterventionView, intervention_view
from tracer.report.text import clean, percent, visible_token

MOST_BOXES = 12
"""Of supernodes that only stand by."""
_MARKS = "●■▲◆"


def draw(
    record: Record,
    name: str,
    prompt: str,
    arrays: Arrays,
    judged: JudgedOutcomes,
    also: Sequence[str] = (),
) -> None:
    """One trial: circuit and outputs, then the same as tables, controls, doses and texts.

    Args:
        record: Of the run, or of a try.
        name: The intervention.
        prompt: The trial's.
        arrays: Controls.
        judged: What was judged of it.
        also: Supernodes to draw beside those that have a part in it.
    """
    trial = record.interventions[name].trials[prompt]
    if trial.problem is not None:
        st.warning(plain(trial.problem))
        return
    alone = InterventionRecord(name=name, trials={prompt: trial})
    one = record.model_copy(update={"interventions": {name: alone}})
    view = intervention_view(one, name, arrays, judged)
    if view.figure is not None:
        drawn = circuit(one, name, prompt, also[:MOST_BOXES])
        left, right = st.columns([2, 1], vertical_alignment="center")
        left.image(circuit_picture(drawn), width="stretch", alt=shown(drawn.description))
        right.markdown("Outputs: hatched unclamped, solid clamped")
        right.image(bars_picture(view.figure.bars), width="stretch", alt="Outputs as bars")
        _legend(view.freeze, drawn, len(also) - MOST_BOXES)
    _tables(one, trial)
    _controls(one, name, view, arrays, judged)
    if view.doses is not None:
        _doses(view.doses)
    if trial.generated is not None:
        _texts(trial.generated)


def _legend(freeze: str, drawn: CircuitDrawing, n_more: int) -> None:
    told = [
        freeze,
        "Percentages: activation after the clamp.",
        "No arrows: a clamp measures an effect on the output, not a path.",
    ]
    if any(box.unknown for box in drawn.boxes):
        told.append("Dashed: no place on this prompt, so its activation is unknown.")
    if n_more > 0:
        told.append(f"{n_more} more are in the table.")
    st.markdown(plain(" ".join(told)))


def _tables(record: Record, trial: Trial) -> None:
    left, right = st.columns(2)
    left.dataframe(
        output_rows(record.prompts[trial.prompt].baseline, trial.reading),
        hide_index=True,
        alt="Outputs before and after",
    )
    right.dataframe(supernode_rows(record, trial), hide_index=True, alt="Supernode activations")


def output_rows(before: Reading, after: Reading) -> list[dict[str, str]]:
    """The most probable tokens of both, the clamped ones first."""
    tokens = dict.fromkeys(each.token for each in (*after.top, *before.top))
    return [
        {
            "token": visible_token(str(clean(token))),
            "unclamped": _share(probability(before, token)),
            "clamped": _share(probability(after, token)),
        }
        for token in tokens
    ]


def supernode_rows(record: Record, trial: Trial) -> list[dict[str, str]]:
    """Every supernode: its clamp and its activation, unknown where it has no place."""
    clamps = {clamp.supernode: clamp.amount.words() for clamp in trial.clamps}
    rows: list[dict[str, str]] = []
    for name, supernode in record.supernodes.items():
        found = trial.supernodes.get(name)
        rows.append(
            {
                "supernode": str(clean(supernode.label)),
                "clamped": clamps.get(name, ""),
                "of unclamped": _share(found.of_clean) if found else "no place here",
                "of its source": _share(found.of_source) if found else "",
            }
        )
    return rows


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _controls(
    record: Record, name: str, view: InterventionView, arrays: Arrays, judged: JudgedOutcomes
) -> None:
    for strip in view.strips:
        st.image(strip_picture(strip), width="stretch", alt=shown(strip.title))
        st.markdown("Dots: matched random sets; line: unclamped; diamond: these clamps.")
    for measure in measures(record.hypothesis.interventions[name]):
        for found in compare(record, name, measure, arrays, judged):
            if found.controls:
                change = found.after - found.before
                ahead = sum(abs(each - found.before) >= abs(change) for each in found.controls)
                st.text(
                    f"{measure.title}: {measure.show(found.before)} → "
                    f"{measure.show(found.after)}. {ahead} of {len(found.controls)} matched "
                    "random sets moved it as far, in either direction."
                )


def _doses(view: DoseView) -> None:
    for panel in view.panels:
        st.image(dose_picture(panel), width=420, alt=f"Probability by {view.unit}")
    names = zip(_MARKS, view.tokens, strict=False)
    told = ", ".join(f"{mark} {plain(token)}" for mark, token in names)
    st.markdown(f"Probability by {plain(view.unit)} of {plain(view.supernode)}: {told}")


def _texts(generated: Generated) -> None:
    left, right = st.columns(2)
    for place, heading, texts in (
        (left, "Written unclamped", generated.clean),
        (right, "Written under the clamps", generated.clamped),
    ):
        place.markdown(heading)
        for each in texts:
            place.text(str(clean(each.text)) or "(nothing)")


NAME = "seen_by_hand"


def seen_panel(dashboard: Dashboard, record: Record, each: Try, number: int) -> None:
    """Choose, read, download or save.

    Args:
        dashboard: Where drafts are kept.
        record: The run.
        each: What was tried on it.
        number: Of the try, which gives its widgets their names.
    """
    st.subheader("Add what was seen as an expectation")
    st.markdown(
        "Bounds are half of what was seen. Seen first and written after, it is no evidence."
    )
    told = suggested_expectations(each.tried.record, each.attempt.prompt, each.tried.arrays)
    chosen = st.multiselect(
        "What the clamps shall be expected to do",
        [each.words for each in told],
        default=[each.words for each in told[:2]],
        key=f"sights-{number}",
    )
    name = st.text_input("Name of the intervention", NAME, key=f"name-{number}", max_chars=64)
    try:
        hypothesis = expecting(
            record, each.groups, each.attempt, name, [s for s in told if s.words in chosen]
        )
    except HypothesisError as error:
        _mistakes([f"{mistake.where}: {mistake.message}" for mistake in error.mistakes])
        return
    st.code(snippet(hypothesis, record), language="yaml")
    text = draft_text(hypothesis, record, each.attempt.prompt, name)
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    draft = left.text_input(
        "Name of the draft", _draft_name(record), key=f"draft-{number}", max_chars=64
    )
    if middle.button("Save as draft", key=f"save-{number}", width="stretch"):
        _save(dashboard, draft, text)
    right.download_button(
        "Download",
        text,
        f"{_draft_name(record)}.yaml",
        "application/yaml",
        key=f"download-{number}",
        width="stretch",
    )


def _draft_name(record: Record) -> str:
    return f"{record.hypothesis.hypothesis.lower()[:58]}_draft"


def _save(dashboard: Dashboard, name: str, text: str) -> None:
    try:
        drafts.create(dashboard.places.drafts, name, text)
    except UsageError as error:
        st.warning(plain(str(error)))
        return
    except OSError as error:
        st.warning(plain(f"the draft could not be saved ({error.strerror})."))
        return
    st.success(plain(f"Saved as draft {name}."))
    if "author" in dashboard.pages:
        query = {FROM: DRAFT + name}
        st.page_link(dashboard.pages["author"], label="Open it in Author", query_params=query)


def _mistakes(told: Sequence[str]) -> None:
    for sentence in told:
        st.warning(plain(sentence))
