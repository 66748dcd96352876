"""How `tracer graph` prunes each graph, writes its files, and sums it up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from tracer import engine
from tracer.cli.graph_summary import Origin, WrittenGraph
from tracer.cli.output import require_writable
from tracer.engine.graph_request import DescribeFeatures
from tracer.engine.progress import Progress
from tracer.errors import EngineError, shorten
from tracer.hypothesis.neuronpedia_ids import parse_feature
from tracer.record.files import write_text
from tracer.record.graph import files, neuronpedia_export
from tracer.record.graph.consensus_summary import ConsensusSummary, consensus_summary
from tracer.record.graph.graph import AttributionGraph, Pruning, listed
from tracer.record.graph.head_reason import HeadReason
from tracer.record.graph.neuronpedia_import import absent
from tracer.record.graph.prune import prune
from tracer.record.graph.summary import kept_influence, summarise
from tracer.record.trials import FeatureTokens
from tracer.report.agreement import agreement_view
from tracer.report.head_reason import reason_view
from tracer.report.render import render_graph
from tracer.report.run_graphs import SupernodePlaces, pack_graph

if TYPE_CHECKING:
    from tracer.engine.attribution.graph import Attributed

_NAME_LENGTH = 60
_LONGEST_TITLE = 300


class TakenGraph(NamedTuple):
    """A graph that a command took, or read."""

    graph: AttributionGraph
    name: str | None
    """What it is called in the summary."""
    words: str
    """What its files are called after."""
    identity: object
    """Plain data; with the pruning it says whether two graphs are the same."""
    origin: Origin | None
    """Where it was read from."""
    features: Mapping[str, FeatureTokens] = {}
    """What the file that it was read from tells of features, by id."""
    describe: DescribeFeatures | None = None
    """Finds that, of a graph that was taken now."""
    taken: Attributed | None = None
    """With the frozen prompt; None of a graph that was read."""
    reason: HeadReason | None = None
    """Why a head looks somewhere, where that was asked."""


@dataclass(frozen=True)
class Writer:
    """Where graphs of one command go, and what is cut from them."""

    pruning: Pruning | None
    """None leaves them as they are."""
    out: Path | None
    """The folder for our own files; None writes none."""
    frontend: Path | None
    """The folder for what Neuronpedia and circuit-tracer show; None writes none."""
    pages: Path | None = None
    """The folder for pages that show a graph; None writes none."""
    heads: bool = False
    """Whether the heads that carry each edge are found."""

    def require_writable(self) -> None:
        """Make the folders, and find out before the work whether they can be written to.

        Raises:
            UsageError: One cannot.
        """
        for folder in (self.frontend, self.out, self.pages):
            if folder is not None:
                require_writable(folder, "--out")

    def write(self, found: TakenGraph, progress: Progress) -> WrittenGraph:
        """Prune a graph, write its files, and sum it up.

        Raises:
            UsageError: One of the formats cannot hold it.
            EngineError: Memory ran out.
            OSError: A file cannot be written.
        """
        try:
            with progress.task("pruning the graph"):
                whole, cut = found.graph, self.pruning
                pruned = whole if cut is None else prune(whole, cut.nodes, cut.edges)
            if self.heads and found.taken is not None:
                pruned = engine.graphs.with_heads(found.taken, pruned, progress)
            if found.describe is not None:
                found = found._replace(features=found.describe(pruned, progress))
            with progress.task("summing up the graph"):
                return self._write(found, pruned)
        except MemoryError as error:
            raise EngineError(
                f"memory does not hold the graph's {found.graph.edges.size:,} possible edges and "
                "their sums."
            ) from error

    def _write(self, found: TakenGraph, pruned: AttributionGraph) -> WrittenGraph:
        influences = kept_influence(found.graph, pruned)
        summary = summarise(found.graph, pruned, influences)
        told = pruned.agreement
        consensus = None if told is None else consensus_summary(pruned, told)
        paths = list(self._write_files(found, pruned, influences, consensus))
        groups = found.origin.supernodes if found.origin else ()
        return WrittenGraph(
            name=found.name,
            subject=pruned.subject,
            logits=pruned.nodes.logits,
            pruning=pruned.pruning,
            summary=summary,
            heads=pruned.nodes.heads,
            origin=found.origin,
            absent=absent([name for group in groups for name in group.ids], pruned),
            reason=found.reason,
            consensus=consensus,
            paths=tuple(path.as_posix() for path in paths),
        )

    def _write_files(
        self,
        found: TakenGraph,
        pruned: AttributionGraph,
        influences: Float[np.ndarray, " source"],
        consensus: ConsensusSummary | None,
    ) -> Iterator[Path]:
        slug = _slug(found, self.pruning)
        if self.out is not None:
            path = files.write(self.out / f"{slug}.json", pruned, found.features)
            yield path
            yield path.with_suffix(".safetensors")
        if self.frontend is not None:
            path = self.frontend / f"{slug}.json"
            groups, marks = (), neuronpedia_export.NO_MARKS
            if found.origin is not None:
                groups, marks = found.origin.supernodes, found.origin.marks
            neuronpedia_export.write(path, pruned, influences, slug, supernodes=groups, marks=marks)
            yield path
        if self.pages is not None:
            path = self.pages / f"{slug}.html"
            title = shorten(found.name or pruned.subject.prompt, _LONGEST_TITLE)
            page = pack_graph(title, listed(pruned), _groups(found), found.features)
            reason = found.reason and reason_view(found.reason, pruned.subject)
            agreement = None
            if pruned.agreement is not None and consensus is not None:
                agreement = agreement_view(pruned, pruned.agreement, consensus)
            write_text(path, render_graph(page, reason, agreement))
            yield path


def _groups(found: TakenGraph) -> list[SupernodePlaces]:
    """The supernodes of the file that a graph was read from."""
    groups: list[SupernodePlaces] = []
    for each in found.origin.supernodes if found.origin else ():
        places = [place for place in map(parse_feature, each.ids) if place is not None]
        members = [(place.layer, place.pos, place.feature) for place in places]
        groups.append(SupernodePlaces(name=each.label, label=each.label, places=members))
    return groups


def _slug(found: TakenGraph, pruning: Pruning | None) -> str:
    """A name to read, and a hash: the same graph has the same name, another one never."""
    identity = json.dumps((found.identity, pruning and astuple(pruning)))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    readable = found.words[:_NAME_LENGTH].strip("-_") or "prompt"
    return f"{readable}-{digest}"
