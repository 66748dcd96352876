"""The dashboard, for `streamlit run app.py`; `tracer dashboard` starts it with safe settings."""

from __future__ import annotations

from tracer.dashboard.app import main

main()
