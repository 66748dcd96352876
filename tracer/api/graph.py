"""An attribution graph as Python and notebooks hold it: taken, looked at, and given to networkx."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tracer import engine
from tracer.engine.graph_request import GraphRequest
from tracer.engine.model.sources import named_model
from tracer.engine.progress import Progress, Silent
from tracer.hypothesis.neuronpedia_ids import embedding_id, error_id
from tracer.hypothesis.studies.graph import KEPT_FEATURES
from tracer.record import files
from tracer.record.graph.graph import AttributionGraph, Nodes, listed
from tracer.record.graph.prune import prune as prune_graph
from tracer.report.graph_view import SupernodePlaces
from tracer.report.render import render_graph
from tracer.report.run_graphs import pack_graph
from tracer.report.text import shorten

_HEIGHT = 820
"""Pixels of a notebook's frame: the graph, and the panel below it on a narrow page."""


@dataclass(frozen=True)
class GraphPage:
    """The interactive view of a graph; a notebook shows it in a frame."""

    html: str
    """The whole page, which opens offline."""

    def save(self, path: str | Path) -> Path:
        """Write the page, and say where it is."""
        target = Path(path)
        files.write_text(target, self.html)
        return target

    def open(self) -> Path:
        """Show it in a browser, from a temporary file; says where that is."""
        target = self.save(Path(mkdtemp(prefix="tracer-")) / "graph.html")
        webbrowser.open(target.as_uri())
        return target

    def __repr__(self) -> str:
        size = f"{len(self.html) // 1000:,} kB"
        return f"GraphPage({size}; .save(path) writes it, .open() shows it in a browser)"

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox="allow-scripts" style="width:100%;height:{_HEIGHT}px;border:0" '
            f'title="Attribution graph" srcdoc="{escape(self.html, quote=True)}"></iframe>'
        )


@dataclass(frozen=True, repr=False)
class Graph(AttributionGraph):
    """An attribution graph that can show itself."""

    groups: tuple[SupernodePlaces, ...] = ()
    """Supernodes that its view marks."""

    @classmethod
    def of(cls, graph: AttributionGraph, groups: Sequence[SupernodePlaces] = ()) -> Graph:
        """The same graph, with what to look at it by."""
        own = {each.name: getattr(graph, each.name) for each in fields(AttributionGraph)}
        return cls(**own, groups=tuple(groups))

    def show(self) -> GraphPage:
        """The interactive view that the report has: last in a notebook's cell, it is shown there.

        Example:
            >>> graph = tracer.attribution_graph("the capital of Texas", model="./gemma")
            >>> page = graph.show()
            >>> page.save("graph.html").name
            'graph.html'
        """
        title = f"Attribution graph of {shorten(self.subject.prompt, 120)!r}"
        return GraphPage(render_graph(pack_graph(title, listed(self), self.groups)))

    def to_networkx(self) -> Any:
        """A `networkx.DiGraph`: nodes by id, edges from source to target with a signed `weight`.

        A node's `kind` is feature, head, error, token or logit; `layer` is −1 for a token and the
        number of layers for a logit, `position` counts from 0. A feature has its `activation`, a
        head its value for one, a logit its `token` and `weight` (see
        `tracer.record.graph.graph.Logit`). Ids are those of the files: `layer_index_position`,
        `layer_head_number_position`, `layer_-1_position` for an error, `E_token_position`, and
        `L_n` for the n-th logit.

        Example:
            >>> graph = tracer.attribution_graph(
            ...     "the capital of Texas", model="./gemma", toward=" Austin", prune=None
            ... )
            >>> whole = graph.to_networkx()
            >>> whole.number_of_nodes() == graph.nodes.n_sources + 1
            True
            >>> whole.nodes["L_0"]["token"]
            ' Austin'
        """
        import networkx

        nodes: Nodes = self.nodes
        found: Any = networkx.DiGraph()
        sources = [*self._features(), *self._errors(), *self._tokens()]
        logits = list(self._logits())
        found.add_nodes_from([*sources, *logits])
        names = [name for name, _ in sources]
        targets = [*names[: nodes.n_features], *(name for name, _ in logits)]
        edges = listed(self)
        for target, source, weight in zip(edges.targets, edges.sources, edges.weights, strict=True):
            found.add_edge(names[source], targets[target], weight=float(weight))
        return found

    def _features(self) -> list[tuple[str, dict[str, Any]]]:
        active, nodes = self.nodes.activations.tolist(), self.nodes
        heads = set(nodes.attention.tolist()) if nodes.heads else set[int]()
        kinds = ["head" if row in heads else "feature" for row in range(nodes.n_features)]
        return [
            (name, self._node(kind, layer, pos, index=index, activation=value))
            for name, kind, value, (layer, pos, index) in zip(
                nodes.feature_ids(), kinds, active, nodes.features.tolist(), strict=True
            )
        ]

    def _errors(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (error_id(layer, pos), self._node("error", layer, pos))
            for layer, pos in self.nodes.errors.tolist()
        ]

    def _tokens(self) -> list[tuple[str, dict[str, Any]]]:
        ids = self.subject.token_ids
        return [
            (embedding_id(ids[pos], pos), self._node("token", -1, pos))
            for pos in self.nodes.tokens.tolist()
        ]

    def _logits(self) -> list[tuple[str, dict[str, Any]]]:
        place = (self.subject.n_layers, len(self.subject.tokens) - 1)
        return [
            (f"L_{n}", self._node("logit", *place) | {"token": each.label, "weight": each.weight})
            for n, each in enumerate(self.nodes.logits)
        ]

    def _node(self, kind: str, layer: int, pos: int, **more: object) -> dict[str, Any]:
        token = self.subject.tokens[pos]
        return {"kind": kind, "layer": layer, "position": pos, "token": token, **more}

    def __repr__(self) -> str:
        nodes, n_edges = self.nodes, int((self.edges != 0).sum())
        explained = ", ".join(repr(each.label) for each in nodes.logits)
        heads = f"{nodes.n_heads:,} heads, " if nodes.heads else ""
        return (
            f"Graph({shorten(self.subject.prompt, 60)!r} → {explained}: "
            f"{nodes.n_features - nodes.n_heads:,} features, {heads}{len(nodes.errors):,} errors, "
            f"{n_edges:,} edges; .show() draws it)"
        )


def attribution_graph(
    prompt: str,
    *,
    model: str | None = None,
    features: str = "neurons",
    toward: str | Sequence[str] | None = None,
    against: str | None = None,
    max_features: int = KEPT_FEATURES,
    prune: tuple[float, float] | None = (0.8, 0.98),
    heads: bool = False,
    max_heads: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    progress: Progress | None = None,
) -> Graph:
    """The attribution graph of one prompt, pruned.

    Args:
        prompt: A text; the special tokens that the tokenizer puts in front are added.
        model: A registered name, a Hugging Face id or a folder.
        features: `neurons`, a registered dictionary, a folder or a Hugging Face id.
        toward: A token, or several, to explain; None means the most probable ones.
        against: A second token: logit(toward) − logit(against) is explained instead.
        max_features: So many of the active features are kept, the most relevant; what the others
            write is in the error nodes.
        prune: Shares of the nodes' and of the edges' influence to keep (see
            `tracer.record.graph.prune`); None keeps all.
        heads: Also find which attention heads carry each edge (`graph.heads`).
        max_heads: So many attention heads are nodes, the most relevant at their positions; None
            makes none (see `tracer.record.graph.heads.HeadNodes`).
        device: `auto`, `cpu`, `cuda`, …
        dtype: `float32`, `bfloat16`, `float16` or `float64`.
        progress: Told of every step; silent by default.

    Raises:
        UsageError: A prompt that is too short or too long, a token that is none, unknown features.
        ModelUnavailable: The model cannot be had, or no graph can be made of its blocks.
        EngineError: Numbers that are not finite, or too little memory.

    Example:
        >>> graph = tracer.attribution_graph(
        ...     "the capital of Texas",
        ...     model="./gemma",
        ...     toward=" Austin",
        ...     max_features=20,
        ...     prune=None,
        ... )
        >>> graph.subject.tokens
        ('<bos>', 'the', ' capital', ' of', ' Texas')
        >>> graph.nodes.n_features, [logit.label for logit in graph.nodes.logits]
        (20, [' Austin'])
        >>> graph.edges.shape == (graph.nodes.n_targets, graph.nodes.n_sources)
        True
    """
    request = GraphRequest(
        source=prompt,
        model=named_model(model, device, dtype),
        features=features,
        toward=(toward,) if isinstance(toward, str) else tuple(toward or ()),
        against=against,
        max_features=max_features,
        max_heads=max_heads,
    )
    told = progress or Silent()
    [(_, whole, _, taken, _)] = engine.graphs.graphs(request, told)
    kept = whole if prune is None else prune_graph(whole, *prune)
    return Graph.of(engine.graphs.with_heads(taken, kept, told) if heads else kept)
