"""What an intervention did to one prompt, drawn; the tries of this session; saving one in a draft.

Tries are kept newest last, and the same attempt is not measured twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from tracer.dashboard.author import drafts
from tracer.dashboard.author.hypothesis_files import DRAFT
from tracer.dashboard.dashboard import Dashboard, author_link, plain, table
from tracer.dashboard.explore.groups import Groups
from tracer.dashboard.intervene.attempt import MODES, NAME, Attempt, Clamping
from tracer.dashboard.intervene.draft import draft_text, expecting, snippet
from tracer.dashboard.intervene.suggested_expectation import suggested_expectations
from tracer.dashboard.runs.run import shown
from tracer.errors import HypothesisError, TracerError, UsageError
from tracer.evidence.context import JudgedOutcomes
from tracer.record.arrays import Arrays
from tracer.record.record import Record
from tracer.record.trials import Generated, InterventionRecord, Reading, Trial
from tracer.report.circuit_diagram import CircuitDrawing, circuit
from tracer.report.effects import compare, measures
from tracer.report.outputs import probability
from tracer.report.render import bars_picture, circuit_picture, dose_picture, strip_picture
from tracer.report.sections.interventions import DoseView, InterventionView, intervention_view
from tracer.report.text import clean, number, percent, visible_token

if TYPE_CHECKING:
    from tracer.dashboard.intervene.measure import Tried

MOST_BOXES = 12
"""Of supernodes that only stand by."""
MOST_TRIES = 30
NAME_IN_DRAFT = "seen_by_hand"
"""Of the intervention, at first."""
_MARKS = "●■▲◆"
_KEY = "tries"


def draw(
    record: Record,
    name: str,
    prompt: str,
    arrays: Arrays,
    judged: JudgedOutcomes,
    also: Sequence[str] = (),
) -> None:
    """One trial: circuit and outputs, then the same as tables, controls, doses and texts.

    The supernodes in `also` are drawn beside those that have a part in it.
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
    outputs = output_rows(record.prompts[trial.prompt].baseline, trial.reading)
    table(outputs, "Outputs before and after", left)
    table(supernode_rows(record, trial), "Supernode activations", right)


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
    both = {"unclamped": generated.clean, "under the clamps": generated.clamped}
    for column, (how, texts) in zip(st.columns(2), both.items(), strict=True):
        column.markdown(f"Written {how}")
        for each in texts:
            column.text(str(clean(each.text)) or "(nothing)")


def draft_panel(dashboard: Dashboard, record: Record, each: Try, number: int) -> None:
    """Choose suggested expectations of try `number`, and read, download or save the draft."""
    st.subheader("Add what was seen as an expectation")
    st.markdown(
        "Bounds are half of what was seen. Seen first and written after, it is no evidence."
    )
    attempt = each.attempt
    suggested = suggested_expectations(each.tried.record, attempt.prompt, each.tried.arrays)
    words = [each.words for each in suggested]
    label, key = "What the clamps shall be expected to do", f"suggested-{number}"
    chosen = st.multiselect(label, words, default=words[:2], key=key)
    wanted = [each for each in suggested if each.words in chosen]
    name = st.text_input(
        "Name of the intervention", NAME_IN_DRAFT, key=f"name-{number}", max_chars=64
    )
    try:
        hypothesis = expecting(record, each.groups, attempt, name, wanted)
        text = draft_text(hypothesis, record, attempt.prompt, name)
    except TracerError as error:
        tell_mistakes(error)
        return
    st.code(snippet(hypothesis, record), language="yaml", wrap_lines=True)
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    stem = f"{record.hypothesis.hypothesis.lower()[:58]}_draft"
    draft = left.text_input("Name of the draft", stem, key=f"draft-{number}", max_chars=64)
    if middle.button("Save as draft", key=f"save-{number}", width="stretch"):
        _save(dashboard, draft, text)
    right.download_button(
        "Download",
        text,
        f"{stem}.yaml",
        "application/yaml",
        key=f"download-{number}",
        width="stretch",
    )


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
    author_link(dashboard, DRAFT + name)


def tell_mistakes(error: TracerError) -> None:
    """Draw each mistake of a hypothesis by itself, and any other error as its sentence."""
    if isinstance(error, HypothesisError):
        told = [f"{mistake.where}: {mistake.message}" for mistake in error.mistakes]
    else:
        told = [str(error)]
    for sentence in told:
        st.warning(plain(sentence))


@dataclass(frozen=True)
class Try:
    """One attempt on a run, and what it gave."""

    run: str
    attempt: Attempt
    groups: Groups
    """Supernodes made by hand, as they were then."""
    tried: Tried


def tries(run: str) -> list[Try]:
    """Those of a run."""
    return [each for each in _all_tries() if each.run == run]


def made_before(run: str, attempt: Attempt, groups: Groups) -> Try | None:
    """The same attempt, if it was made."""
    same = (t for t in reversed(tries(run)) if t.attempt == attempt and t.groups == groups)
    return next(same, None)


def keep_try(each: Try) -> None:
    """Keep a try; of too many, the oldest goes."""
    st.session_state[_KEY] = [*_all_tries(), each][-MOST_TRIES:]


def try_rows(listed: list[Try]) -> list[dict[str, str]]:
    """The log as a table."""
    return [{"try": str(number), **_try_cells(each)} for number, each in enumerate(listed, 1)]


def _try_cells(each: Try) -> dict[str, str]:
    attempt, record = each.attempt, each.tried.record
    trial = record.interventions[NAME].trials[attempt.prompt]
    before, after = record.prompts[attempt.prompt].baseline, trial.reading
    more = [f"{attempt.n_controls} random sets"] if attempt.n_controls else []
    more += ["doses"] if attempt.dosing else []
    more += [f"{attempt.n_tokens} tokens"] if attempt.n_tokens else []
    token = attempt.measure[0]
    shares = (probability(before, token), probability(after, token))
    told = " → ".join("–" if share is None else percent(share) for share in shares)
    return {
        "prompt": attempt.prompt,
        "clamps": "; ".join(_clamp_words(clamp) for clamp in attempt.clamps),
        "frozen": attempt.freeze,
        "top": " → ".join(visible_token(each.top[0].token) for each in (before, after)),
        "looked at": f"p({visible_token(token)}) {told}",
        "with": ", ".join(more),
    }


def _clamp_words(clamp: Clamping) -> str:
    if clamp.mode == "ablate":
        told = f"{clamp.supernode} ablated"
    else:
        told = f"{clamp.supernode}: {MODES[clamp.mode]} {number(clamp.factor, 1)}"
    places = f" at tokens {', '.join(map(str, clamp.positions))}" if clamp.positions else ""
    return told + (f" at {clamp.at}" if clamp.at else places) + (", onward" if clamp.onward else "")


def _all_tries() -> list[Try]:
    return st.session_state.setdefault(_KEY, [])
