"""The folders that a dashboard uses, fixed when its process starts: no page, no address names one.

The command line sets them before Streamlit is there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

REPORTS_VARIABLE = "TRACER_REPORTS"
DRAFTS_VARIABLE = "TRACER_DRAFTS"
HYPOTHESES_VARIABLE = "TRACER_HYPOTHESES"
GRAPHS_VARIABLE = "TRACER_GRAPHS"
REPORTS = "reports"
DRAFTS = "hypotheses/drafts"
HYPOTHESES = "hypotheses"
GRAPHS = "graphs"


class Places(NamedTuple):
    """Where runs and graphs are kept, drafts are saved and hypotheses are read from, absolute."""

    reports: Path
    drafts: Path
    hypotheses: Path
    graphs: Path


def places(environment: Mapping[str, str] = os.environ) -> Places:
    """The folders this process was started with, else those of the working directory."""
    return Places(
        Path(environment.get(REPORTS_VARIABLE) or REPORTS).absolute(),
        Path(environment.get(DRAFTS_VARIABLE) or DRAFTS).absolute(),
        Path(environment.get(HYPOTHESES_VARIABLE) or HYPOTHESES).absolute(),
        Path(environment.get(GRAPHS_VARIABLE) or GRAPHS).absolute(),
    )
