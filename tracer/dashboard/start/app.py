"""What `tracer dashboard` has Streamlit run."""

from __future__ import annotations

from tracer.dashboard.frame import main

main()
