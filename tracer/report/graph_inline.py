"""Graphs packed into a page: JSON, gzip, base64, within a budget.

A page of a normal run stays below two megabytes. Where the graphs of a run are too many for that,
each gets fewer nodes and links; where even that does not help, none is drawn, and the page says so.
"""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass

from tracer.record import Record
from tracer.report.graph_data import GraphData, to_json
from tracer.report.run_graphs import RunGraphs, run_graph_data

BUDGET = 1_200_000
"""Bytes of base64 for all graphs of a page together."""
_CAPS = ((1_000, 5_000), (500, 2_500), (250, 1_200), (120, 600), (60, 300))


@dataclass(frozen=True)
class Packed:
    """One graph of a page."""

    prompt: str
    text: str
    """Base64 of the gzipped JSON."""
    cut: str
    strongest: tuple[tuple[str, str, str], ...]
    """(from, to, share) of its most influential links: what is read without a script."""


def pack(record: Record, found: RunGraphs) -> tuple[Packed, ...]:
    """All graphs of a run, as large as fits; none where nothing fits."""
    for caps in _CAPS:
        packed = tuple(
            _packed(prompt, run_graph_data(record, prompt, graph, *caps))
            for prompt, graph in found.graphs.items()
        )
        if sum(len(each.text) for each in packed) <= BUDGET:
            return packed
    return ()


def _packed(prompt: str, data: GraphData) -> Packed:
    squeezed = gzip.compress(to_json(data).encode(), mtime=0)
    return Packed(prompt, base64.b64encode(squeezed).decode(), data["cut"], _strongest(data))


def _strongest(data: GraphData, n: int = 25) -> tuple[tuple[str, str, str], ...]:
    names = [_name(node["label"], node["kind"], node["token"]) for node in data["nodes"]]
    return tuple(
        (names[int(source)], names[int(target)], f"{100 * share:+.1f} %".replace("-", "−"))
        for source, target, _, share in data["links"][:n]
    )


def _name(label: str, kind: str, token: str) -> str:
    return label if kind in ("token", "logit") else f"{label}, at {token}"
