"""The dashboard, for `streamlit run app.py`; `tracer dashboard` starts it with safe settings."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard.guard import GUARD, SCRIPT

app = st.App(SCRIPT, middleware=GUARD)
