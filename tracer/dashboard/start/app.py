"""The script that `tracer dashboard` gives to Streamlit."""

from __future__ import annotations

from tracer.dashboard.app import main

main()
