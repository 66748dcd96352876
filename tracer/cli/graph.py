"""`tracer graph`: attribution graphs of a prompt, or of a hypothesis's prompts, as files."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated

import typer

import tracer
from tracer.cli import options
from tracer.cli.endings import require_writable, stderr, stdout
from tracer.cli.graph_summary import Written, print_graph, to_json
from tracer.cli.machine import write_stdout
from tracer.errors import EXIT_OK, UsageError
from tracer.graph import files, frontend_export
from tracer.graph.graph import Pruning
from tracer.graph.prune import prune
from tracer.graph.summary import kept_influence, summarise
from tracer.graph_request import GraphRequest, NamedGraph
from tracer.hypothesis.load import HypothesisFile, read
from tracer.hypothesis.problem import show
from tracer.hypothesis.spec import Hypothesis, ModelSpec
from tracer.liveness import progress_on
from tracer.model.named import named_model
from tracer.overrides import Replacements
from tracer.progress import Progress

GRAPHS = Path("graphs")
FRONTEND = "frontend"
"""The folder, inside that of the graphs, for what Neuronpedia and circuit-tracer read."""
_NAME_LENGTH = 60


def graph(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            help="A text, or a hypothesis file (.yaml): its prompts, with its model.",
            show_default=False,
        ),
    ],
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            metavar="NAME",
            help="Only this prompt of the file. Repeatable.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = None,
    features: options.Features = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    toward: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOKEN",
            help="A token to explain, e.g. ' Austin'. Repeatable. Default: the most probable.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Explain logit(toward) − logit(this) instead."),
    ] = None,
    max_features: Annotated[
        int, typer.Option(metavar="N", help="Keep so many of the active features.")
    ] = 2048,
    pruning: Annotated[
        str,
        typer.Option(
            "--prune",
            metavar="NODES,EDGES",
            help="Shares of the influence to keep; `none` keeps all.",
        ),
    ] = "0.8,0.98",
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder to write to.")
    ] = GRAPHS,
    frontend: Annotated[
        bool,
        typer.Option(
            "--frontend", help="Also write the JSON that Neuronpedia and circuit-tracer show."
        ),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> int:
    """Take the attribution graph of a prompt: what acts on what, and on the output.

    tracer graph "Fact: the capital of the state containing Dallas is"

    tracer graph "The opposite of small is" --toward " big" --against " tiny"

    tracer graph hypotheses/two_hop.yaml --prompt dallas --frontend
    """
    source, spec, basis = _source(prompt, model, features, device, dtype)
    request = GraphRequest(
        source,
        spec,
        basis,
        tuple(prompts or ()),
        tuple(toward or ()),
        against,
        max_features,
    )
    request.check()
    writer = _Writer(request, _pruning(pruning), out, frontend)
    require_writable(writer.folders[-1], "--out")
    written: list[Written] = []
    try:
        with progress_on(stderr(), quiet=json_) as progress:
            for found in _graphs(request, progress):
                written.append(writer.write(found, progress))
    finally:
        for each in () if json_ else written:
            print_graph(stdout(), each)
    if json_:
        write_stdout(to_json(written))
    return EXIT_OK


def _source(
    prompt: str, model: str | None, features: str | None, device: str | None, dtype: str | None
) -> tuple[str | HypothesisFile, ModelSpec, str]:
    """What to graph, with which model and features: the file's own where no option says other."""
    if prompt.endswith((".yaml", ".yml")):
        file = read(prompt, Replacements(model=model, device=device, dtype=dtype).overrides())
        own = file.hypothesis.features
        return file, file.hypothesis.model_spec, own if features is None else features
    default = Hypothesis.model_fields["features"].default
    return prompt, named_model(model, device, dtype), default if features is None else features


def _pruning(text: str) -> Pruning | None:
    if text == "none":
        return None
    try:
        nodes, edges = (float(part) for part in text.split(","))
    except ValueError:
        nodes = edges = math.nan
    if not (0 <= nodes <= 1 and 0 <= edges <= 1):
        raise UsageError(
            f"--prune {show(text)}: two shares between 0 and 1 are expected, as in 0.8,0.98, "
            "or none."
        )
    return Pruning(nodes, edges)


def _graphs(request: GraphRequest, progress: Progress) -> Iterator[NamedGraph]:
    with progress.task("importing PyTorch and TransformerLens"):
        make = tracer.graphs.graphs
    return make(request, progress)


@dataclass(frozen=True)
class _Writer:
    """Where graphs of one command go, and what is cut from them."""

    request: GraphRequest
    pruning: Pruning | None
    out: Path
    frontend: bool

    @property
    def folders(self) -> tuple[Path, ...]:
        """What must be there; the last is inside the others."""
        return (self.out, self.out / FRONTEND) if self.frontend else (self.out,)

    def write(self, found: NamedGraph, progress: Progress) -> Written:
        """Prune a graph, write its files, and sum it up."""
        whole = found.graph
        with progress.task("pruning and writing the graph"):
            cut = self.pruning
            pruned = whole if cut is None else prune(whole, cut.nodes, cut.edges)
            influences = kept_influence(whole, pruned)
            slug = self._slug(found)
            paths = [files.write(self.out / f"{slug}.json", pruned)]
            paths.append(paths[0].with_suffix(".safetensors"))
            if self.frontend:
                paths.append(self.out / FRONTEND / f"{slug}.json")
                frontend_export.write(paths[-1], pruned, influences, slug)
        return Written(
            name=found.name,
            subject=pruned.subject,
            logits=pruned.nodes.logits,
            pruning=cut,
            summary=summarise(whole, pruned, influences),
            paths=tuple(path.as_posix() for path in paths),
        )

    def _slug(self, found: NamedGraph) -> str:
        """A name to read, and a hash: the same graph has the same name, another one never."""
        subject = found.graph.subject
        words = found.name or "-".join(re.findall("[a-z0-9]+", str(self.request.source).lower()))
        identity = (
            subject.fingerprint,
            subject.basis,
            subject.token_ids,
            self.request.toward,
            self.request.against,
            self.request.max_features,
            self.pruning and astuple(self.pruning),
        )
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]
        readable = words[:_NAME_LENGTH].strip("-_") or "prompt"
        return f"{readable}-{digest}"
