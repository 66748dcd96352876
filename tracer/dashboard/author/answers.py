"""What the model answers to the prompts of a draft, before anything is claimed of them."""

from __future__ import annotations

import streamlit as st

from tracer.api import session
from tracer.api.session.answers import Answer, Answers, top_line
from tracer.dashboard import model
from tracer.dashboard.dashboard import marked_rows, plain
from tracer.dashboard.runs.run import CELL, shown
from tracer.engine.progress import Silent
from tracer.errors import HypothesisError, TracerError
from tracer.hypothesis.given import prompts_of
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.names import NEURONS
from tracer.hypothesis.spec import Hypothesis
from tracer.report.text import visible_token

_ASKED = "author-asked"
MOST_PROMPTS = 1_000


def answers_panel(text: str, path: str) -> None:
    """Draw a button that asks the model, and what it answered to the prompts as they are.

    The text may be unfinished: its model and prompts are read alone.
    """
    reason, file = model.absent(), None
    try:
        file = prompts_of(path, text)
    except HypothesisError:
        reason = reason or "The prompts or the model have mistakes."
    if file is not None and len(file.hypothesis.prompts) > MOST_PROMPTS:
        reason = f"More than {MOST_PROMPTS:,} prompts: ask on the command line."
    pressed = st.button("Ask the model", disabled=reason is not None, help=reason)
    if file is None:
        return
    subject = _subject(file.hypothesis)
    if pressed:
        try:
            with st.spinner("Asking; the model is loaded once…"):
                st.session_state[_ASKED] = subject, _ask(file)
        except TracerError as error:
            st.session_state.pop(_ASKED, None)
            st.warning(plain(shown(str(error))))
    asked: tuple[str, Answers] | None = st.session_state.get(_ASKED)
    if asked is not None and asked[0] == subject:
        _draw(asked[1])


def _subject(hypothesis: Hypothesis) -> str:
    """All that the answers depend on."""
    return hypothesis.model_dump_json(include={"model", "template", "prompts"})


def _ask(file: HypothesisFile) -> Answers:
    spec = file.hypothesis.model_spec
    of_model = (spec.name, spec.revision, spec.dtype, spec.device)
    # Answers are of the model alone: where it is held with a dictionary, that is as good.
    held = model.hold(model.held_with(of_model) or (*of_model, NEURONS))
    with held.lock:
        return session.asking.answers_of(held.opened.model, file, Silent())


def _draw(answers: Answers) -> None:
    if answers.summary is not None:
        st.markdown(answers.summary)
    chosen = marked_rows([_row(each) for each in answers], "What the model answers", "answers")
    for number in chosen or range(min(1, len(answers))):
        _cut(answers[number])


def _row(answer: Answer) -> dict[str, str]:
    return {
        "prompt": shown(answer.prompt, CELL),
        "answer": "–" if answer.judged is None else shown(answer.judged, CELL),
        "next tokens": shown(top_line(answer.reading), CELL),
    }


def _cut(answer: Answer) -> None:
    """How a prompt is cut into tokens, and what its spans are."""
    spans = {name: range(*span) for name, span in answer.spans.items()}
    rows = [
        {
            "position": str(n),
            "token": shown(visible_token(token), CELL),
            "spans": ", ".join(shown(name, CELL) for name, span in spans.items() if n in span),
        }
        for n, token in enumerate(answer.tokens)
    ]
    st.caption(plain(f"Tokens of {shown(answer.prompt, CELL)}"))
    st.dataframe(rows, hide_index=True, height=min(36 * (len(rows) + 1), 320))
