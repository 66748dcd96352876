"""The tries of this session, newest last; the same attempt is not measured twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from tracer.dashboard.explore.groups import Groups
from tracer.dashboard.intervene.attempt import MODES, NAME, Attempt, Clamping
from tracer.report.outputs import probability
from tracer.report.text import number, percent, visible_token

if TYPE_CHECKING:
    from tracer.dashboard.intervene.measure import Tried

MOST = 30
_KEY = "tries"


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
    return [each for each in _all() if each.run == run]


def found(run: str, attempt: Attempt, groups: Groups) -> Try | None:
    """The same attempt, if it was made."""
    same = (t for t in reversed(tries(run)) if t.attempt == attempt and t.groups == groups)
    return next(same, None)


def add(each: Try) -> None:
    """Keep a try; of too many, the oldest goes."""
    st.session_state[_KEY] = [*_all(), each][-MOST:]


def try_rows(listed: list[Try]) -> list[dict[str, str]]:
    """The log as a table."""
    return [{"try": str(number), **_cells(each)} for number, each in enumerate(listed, 1)]


def _cells(each: Try) -> dict[str, str]:
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
        "clamps": "; ".join(_words(clamp) for clamp in attempt.clamps),
        "frozen": attempt.freeze,
        "top": " → ".join(visible_token(each.top[0].token) for each in (before, after)),
        "looked at": f"p({visible_token(token)}) {told}",
        "with": ", ".join(more),
    }


def _words(clamp: Clamping) -> str:
    if clamp.mode == "ablate":
        told = f"{clamp.supernode} ablated"
    else:
        told = f"{clamp.supernode}: {MODES[clamp.mode]} {number(clamp.factor, 1)}"
    places = f" at tokens {', '.join(map(str, clamp.positions))}" if clamp.positions else ""
    return told + (f" at {clamp.at}" if clamp.at else places) + (", onward" if clamp.onward else "")


def _all() -> list[Try]:
    return st.session_state.setdefault(_KEY, [])
