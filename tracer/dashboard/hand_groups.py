"""Supernodes made by hand in Explore, kept for the session and taken up by Intervene.

They hold places on one prompt (`layer_index_position`), so they belong to that prompt of that run.
"""

from __future__ import annotations

import streamlit as st

Groups = dict[str, tuple[str, ...]]
_KEY = "hand_groups"


def hand_groups(run: str, prompt: str) -> Groups:
    """Those of one prompt of a run, by name."""
    return dict(_all().get((run, prompt), {}))


def keep(run: str, prompt: str, groups: Groups) -> None:
    """Replace them."""
    _all()[run, prompt] = dict(groups)


def _all() -> dict[tuple[str, str], Groups]:
    return st.session_state.setdefault(_KEY, {})
