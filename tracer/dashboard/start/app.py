"""The application that `tracer dashboard` gives to Streamlit: its pages, behind the guard."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard.guard import GUARD, SCRIPT

app = st.App(SCRIPT, middleware=GUARD)
