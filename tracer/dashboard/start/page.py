"""The script that Streamlit runs anew at every click."""

from __future__ import annotations

from tracer.dashboard.app import main

main()
