"""What `tracer dashboard` has Streamlit run."""

from __future__ import annotations

from tracer.dashboard.app import main

main()
