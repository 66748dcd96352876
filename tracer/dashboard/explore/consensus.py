"""The edges between supernodes over all graphs of a run."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard.dashboard import plain, table
from tracer.dashboard.runs.run import shown as told
from tracer.report.graph_consensus import graph_consensus
from tracer.report.render import supernodes_picture
from tracer.report.run import Run


def consensus_panel(run: Run) -> None:
    """Draw what the graphs have in common, as the report does; nothing of a single graph."""
    found = graph_consensus(run.record, run.verdict.outcomes)
    if found is None:
        return
    with st.expander(f"What the {found.n_prompts} graphs of the run have in common"):
        st.markdown(plain(f"{found.note}."))
        left, right = st.columns(2)
        if found.diagram is not None:
            picture = supernodes_picture(found.diagram)
            left.image(picture, width="stretch", alt=told(found.diagram.description))
            left.markdown("Median shares; the sign is counted over all prompts.")
        rows = [
            {
                "from": told(row.source),
                "to": told(row.target),
                "on": row.on,
                "median share": row.median,
                "sign, discovery": row.discovery,
                "sign, held out": row.held_out,
                "claimed": told("; ".join(row.claims)),
            }
            for row in found.rows.kept[:100]
        ]
        table(rows, "Edges between supernodes over all graphs", right, height=320)
