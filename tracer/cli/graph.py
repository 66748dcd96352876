"""`tracer graph`: attribution graphs of a prompt, of a hypothesis's prompts, or of a file."""

from __future__ import annotations

import math
import re
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tracer import engine
from tracer.cli import options
from tracer.cli.graph_consensus import (
    consensus_request,
    refuse_with_consensus,
    taken_consensus,
)
from tracer.cli.graph_files import TakenGraph, Writer
from tracer.cli.graph_source import is_file, source_of
from tracer.cli.graph_summary import Origin, WrittenGraph, document, print_graph
from tracer.cli.output import (
    STDOUT,
    require_writable_file,
    screen_beside,
    stderr,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.engine.graph_request import GraphRequest, NamedGraph, WhyRequest
from tracer.engine.progress import Progress
from tracer.errors import EXIT_OK, UsageError, show
from tracer.hypothesis.heads import find_head
from tracer.hypothesis.load import Replacements
from tracer.hypothesis.studies.graph import KEPT_FEATURES
from tracer.record.graph import neuronpedia_import
from tracer.record.graph.consensus import CORE
from tracer.record.graph.graph import Pruning

GRAPHS = Path("graphs")
FRONTEND = "frontend"
"""The folder, inside that of the graphs, for what Neuronpedia and circuit-tracer read."""
PRUNING = Pruning(0.8, 0.98)
_DIGEST = re.compile(r"-[0-9a-f]{8}\Z")
"""What a graph that we wrote has at the end of its name."""


def graph(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            help="A text; a hypothesis file (.yaml): its prompts, with its model; or a graph "
            "(.json), ours or Neuronpedia's or circuit-tracer's.",
            show_default=False,
        ),
    ],
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            metavar="NAME",
            help="Only this prompt of the file. Repeatable. Default: those of its graph section, "
            "or all.",
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
            help="A token to explain, e.g. ' Austin'. Repeatable. Default: what the file's graph "
            "section explains, or the most probable.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            help="Explain logit(toward) − logit(this) instead; with --why: subtract the score of "
            "this token, or of the `mean` of all by attention.",
        ),
    ] = None,
    max_features: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Keep so many of the active features. Default: as many as the file's graph "
            f"section, or {KEPT_FEATURES}.",
            show_default=False,
        ),
    ] = None,
    max_heads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Make so many heads of attention nodes, the most relevant at their positions. "
            "Default: as many as the file's graph section, or none.",
            show_default=False,
        ),
    ] = None,
    pruning: Annotated[
        str | None,
        typer.Option(
            "--prune",
            metavar="NODES,EDGES",
            help="Shares of the influence to keep; `none` keeps all. Default: "
            f"{PRUNING.nodes},{PRUNING.edges}; of a graph file, none.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The folder to write to. Default: graphs; a graph file is only looked at.",
            show_default=False,
        ),
    ] = None,
    frontend: Annotated[
        bool,
        typer.Option(
            "--frontend", help="Also write the JSON that Neuronpedia and circuit-tracer show."
        ),
    ] = False,
    heads: Annotated[
        bool,
        typer.Option("--heads", help="Also find which attention heads carry each edge."),
    ] = False,
    why: Annotated[
        tuple[str, str, str] | None,
        typer.Option(
            metavar="HEAD FROM TO",
            help="Also tell why a head, as in 9.1, looks from a token at another: each by its "
            "text, its position, `last` or a span of the prompt.",
            show_default=False,
        ),
    ] = None,
    consensus: Annotated[
        bool,
        typer.Option(
            "--consensus",
            help="One graph of all prompts of the file: what is there on most of them, and of the "
            "paraphrases that its robustness section declares.",
        ),
    ] = False,
    core: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="With --consensus: the least share of the prompts that a node or an edge is on. "
            f"Default: {CORE:g}.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Also write a page that shows the graph.")
    ] = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Write that page, and open it in the browser.")
    ] = False,
    json_: Annotated[Path | None, options.json_file("Summary")] = None,
) -> int:
    """Take the attribution graph of a prompt: what acts on what, and on the output.

    tracer graph "Fact: the capital of the state containing Dallas is"

    tracer graph "The opposite of small is" --toward " big" --against " tiny"

    tracer graph hypotheses/two_hop.yaml --prompt dallas --frontend

    tracer graph "The opposite of small is" --open

    tracer graph "The opposite of small is" --max-heads 256 --open

    tracer graph "The opposite of small is" --why 9.1 last small --against mean

    tracer graph hypotheses/two_hop.yaml --consensus --html

    tracer graph downloaded.json --out graphs
    """
    export = (out or GRAPHS) / FRONTEND if frontend else None
    pages = (out or GRAPHS) if html or open_ else None
    if is_file(prompt, (".json",)):
        _require_unset(
            prompt,
            {"prompt": prompts, "model": model, "features": features, "device": device}
            | {"dtype": dtype, "toward": toward, "against": against, "max-features": max_features}
            | {"max-heads": max_heads, "heads": heads or None, "why": why}
            | {"consensus": consensus or None, "core": core},
        )
        writer = Writer(_pruning(pruning, None), out, export, pages)
        return _run(partial(existing_graph, Path(prompt)), writer, json_=json_, opens=open_)
    source, spec, own = source_of(prompt, Replacements(model=model, device=device, dtype=dtype))
    request = GraphRequest(
        source,
        spec,
        own if features is None else features,
        tuple(prompts or ()),
        tuple(toward or ()),
        None if why else against,
        max_features,
        max_heads,
        None if why is None else _why(why, against),
    )
    if consensus:
        refuse_with_consensus({"prune": pruning, "heads": heads, "why": why, "frontend": frontend})
        asked = consensus_request(request, core)
        writer = Writer(None, out or GRAPHS, None, pages)
        return _run(partial(taken_consensus, asked), writer, json_=json_, opens=open_)
    if core is not None:
        raise UsageError("--core is for --consensus: the share of the prompts that counts.")
    request.check()
    writer = Writer(_pruning(pruning, PRUNING), out or GRAPHS, export, pages, heads)
    return _run(partial(_take, request), writer, json_=json_, opens=open_)


def _require_unset(path: str, given: Mapping[str, object]) -> None:
    """Refuse options about how a graph is taken, where it is taken already."""
    for name, value in given.items():
        if value not in (None, []):
            raise UsageError(
                f"--{name} is for a graph that is yet to be taken; {path} is one already."
            )


def _pruning(text: str | None, default: Pruning | None) -> Pruning | None:
    if text is None:
        return default
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


def _why(asked: tuple[str, str, str], against: str | None) -> WhyRequest:
    head, query, key = asked
    found = find_head(head)
    if found is None:
        raise UsageError(f"--why {show(head)}: a head is its layer and its number, as in 9.1.")
    return WhyRequest(found, query, key, against)


def _run(
    find: Callable[[Progress], Iterator[TakenGraph]],
    writer: Writer,
    *,
    json_: Path | None,
    opens: bool,
) -> int:
    """Take or read each graph, write it, and tell of all that were written."""
    writer.require_writable()
    require_writable_file(json_, "--json")
    written: list[WrittenGraph] = []
    try:
        with progress_on(stderr(), quiet=json_ == STDOUT) as progress:
            for found in find(progress):
                written.append(writer.write(found, progress))
    finally:
        for each in written:
            print_graph(screen_beside(json_), each)
    if json_ is not None:
        write_document(json_, document(written).written())
    for path in (Path(path) for each in written[:1] for path in each.paths if opens):
        if path.suffix == ".html" and not webbrowser.open(path.absolute().as_uri()):
            stderr().say(f"no browser could be opened; the page is {path.as_posix()}.")
    return EXIT_OK


def _take(request: GraphRequest, progress: Progress) -> Iterator[TakenGraph]:
    with progress.task("importing PyTorch and TransformerLens"):
        make = engine.graphs.graphs
    return taken_graphs(request, make(request, progress))


def taken_graphs(request: GraphRequest, found: Iterable[NamedGraph]) -> Iterator[TakenGraph]:
    """Each with what its files are called after."""
    words = "-".join(re.findall("[a-z0-9]+", str(request.source).lower()))
    for name, graph, describe, taken, reason in found:
        subject = graph.subject
        explained = [(logit.label, logit.token) for logit in graph.nodes.logits]
        of_what = (subject.fingerprint, subject.basis, subject.token_ids)
        identity = (*of_what, explained, request.kept_features)
        if request.kept_heads:
            identity = (*identity, request.kept_heads)
        yield TakenGraph(
            graph,
            name,
            name or words,
            identity,
            None,
            describe=describe,
            taken=taken,
            reason=reason,
        )


def existing_graph(path: Path, progress: Progress) -> Iterator[TakenGraph]:
    """That of a file, ours or Neuronpedia's."""
    with progress.task("reading the graph"):
        graph, supernodes, marks, sha256, told = neuronpedia_import.read_either(path)
    words = re.sub("[^A-Za-z0-9._-]+", "-", _DIGEST.sub("", path.stem)).lstrip("._-")
    origin = Origin(str(path), graph.pruning, supernodes, marks)
    yield TakenGraph(graph, None, words, sha256, origin, told)
