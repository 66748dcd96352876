"""The tools that look into a model: `ask`, `features` and `graph`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from tracer import engine
from tracer.api import session
from tracer.cli.ask import asked_prompts, print_answer
from tracer.cli.documents.answers import AnswersToPrompts, PromptAnswer
from tracer.cli.documents.features import Features, FeatureSummary
from tracer.cli.documents.graphs import Graphs
from tracer.cli.features.cards import print_card, read_ids, read_lines
from tracer.cli.graph import GRAPHS, PRUNING, existing_graph, taken_graphs
from tracer.cli.graph_consensus import consensus_request, taken_consensus
from tracer.cli.graph_files import Writer
from tracer.cli.graph_source import is_file, source_of
from tracer.cli.graph_summary import document, print_graph
from tracer.cli.mcp.links import graph_links
from tracer.cli.mcp.tool import McpTool, ToolAnswer, ToolArguments, Workplace, printed
from tracer.engine.graph_request import GraphRequest
from tracer.engine.model.sources import named_model
from tracer.engine.progress import Progress
from tracer.hypothesis.load import Replacements
from tracer.hypothesis.names import NEURONS, require_possible
from tracer.record.graph.consensus import CORE
from tracer.report.screen import Screen

_MODEL = "Another model than the default: a name, a Hugging Face id or a folder inside."
_FEATURES = "`neurons`, a registered dictionary, a Hugging Face id or a folder inside."


class AskArguments(ToolArguments):
    """Prompts in one of four ways."""

    prompts: tuple[str, ...] = Field(default=(), description="Texts.")
    hypothesis: str | None = Field(
        default=None, description="A hypothesis file: its prompts, with its model."
    )
    template: str | None = Field(
        default=None, description="A text with {variables}, for each row of the table."
    )
    table: str | None = Field(
        default=None,
        description="Values of the variables: a .csv, .tsv, .jsonl or .yaml file. `answer` is the "
        "token that is expected, `name` names the prompt.",
    )
    model: str | None = Field(default=None, description=_MODEL)
    top: int = Field(default=5, ge=1, le=10, description="Most probable tokens written out.")


def ask(given: AskArguments, at: Workplace, progress: Progress) -> ToolAnswer:
    """Ask a model for its next token, and see how prompts are cut into tokens.

    The first thing that anyone who writes a hypothesis needs: what the model answers unclamped, and
    the positions and spans that a file can name.
    """
    for path in filter(None, (given.hypothesis, given.table)):
        at.folders.inside(path)
    replaced = Replacements(model=given.model)
    table, template = given.table, given.template
    asked = asked_prompts(given.prompts, None, given.hypothesis, template, table, replaced)
    spec = asked.hypothesis.model_spec
    model = at.opened(spec, NEURONS, progress).model
    answers = session.asking.answers_of(model, asked, progress)

    def write(screen: Screen) -> None:
        for answer in answers:
            print_answer(screen, answer, given.top)

    told = tuple(PromptAnswer.of(answer) for answer in answers)
    return ToolAnswer(AnswersToPrompts(model=spec.name, prompts=told), printed(write))


class FeaturesArguments(ToolArguments):
    """Features by their ids."""

    ids: tuple[str, ...] = Field(
        min_length=1, description="`layer_index`, or `layer_index_position` as in a graph."
    )
    model: str | None = Field(default=None, description=_MODEL)
    features: str = Field(default=NEURONS, description=_FEATURES)
    text: str | None = Field(
        default=None, description="A text file; where its lines make them strongly active."
    )
    top: int = Field(default=10, ge=1, le=1000, description="Length of each list.")


def features(given: FeaturesArguments, at: Workplace, progress: Progress) -> ToolAnswer:
    """Tell what features are: tokens they promote, and text they are active on."""
    wanted = read_ids(given.ids)
    spec = named_model(given.model)
    require_possible(given.features)
    lines = None if given.text is None else read_lines(at.folders.inside(given.text))
    opened = at.opened(spec, given.features, progress)
    cards = engine.feature_card.feature_cards(opened, wanted, lines, given.top, progress)

    def write(screen: Screen) -> None:
        for card in cards:
            print_card(screen, card)

    told = tuple(FeatureSummary.of(card) for card in cards)
    return ToolAnswer(
        Features(model=spec.name, basis=given.features, features=told), printed(write)
    )


class GraphArguments(ToolArguments):
    """What to take a graph of, and what it explains."""

    prompt: str = Field(
        description="A text; a hypothesis file (.yaml): its prompts, with its model; or a graph "
        "file (.json), which is only summed up."
    )
    prompts: tuple[str, ...] = Field(
        default=(), description="Of a hypothesis file: only these prompts, by name."
    )
    toward: tuple[str, ...] = Field(
        default=(), description="Tokens to explain, e.g. ' Austin'; by default the most probable."
    )
    against: str | None = Field(
        default=None, description="Explain logit(toward) − logit(this) instead."
    )
    max_features: int | None = Field(default=None, description="Keep so many active features.")
    consensus: bool = Field(
        default=False,
        description="Of a hypothesis file: one graph of its prompts, with what is there on most.",
    )
    core: float | None = Field(
        default=None, description=f"With consensus: on which share of them, {CORE:g} by default."
    )
    model: str | None = Field(default=None, description=_MODEL)
    features: str | None = Field(default=None, description=_FEATURES)


def graph(given: GraphArguments, at: Workplace, progress: Progress) -> ToolAnswer:
    """Take the attribution graph of a prompt: what acts on what, and on the output.

    Tells its scores and its most influential features, and writes the pruned graph and a page that
    shows it into the folder `graphs`.
    """
    if is_file(given.prompt, (".json",)):
        writer = Writer(None, None, None)
        taken = existing_graph(at.folders.inside(given.prompt), progress)
    elif given.consensus:
        out: Path = at.folders.inside(GRAPHS)
        writer = Writer(None, out, None, out)
        asked = consensus_request(_request(given, at), given.core)
        opened = at.opened(asked.graph.model, asked.graph.features, progress)
        taken = taken_consensus(asked, progress, opened)
    else:
        out: Path = at.folders.inside(GRAPHS)
        writer = Writer(PRUNING, out, None, out)
        request = _request(given, at)
        request.check()
        opened = at.opened(request.model, request.features, progress)
        taken = taken_graphs(request, engine.graphs.graphs(request, progress, opened))
    writer.require_writable()
    written = [writer.write(found, progress) for found in taken]

    def write(screen: Screen) -> None:
        for each in written:
            print_graph(screen, each)

    links = tuple(link for each in written for link in graph_links(each.paths))
    return ToolAnswer(document(written), printed(write), links)


def _request(given: GraphArguments, at: Workplace) -> GraphRequest:
    if is_file(given.prompt, (".yaml", ".yml")):
        at.folders.inside(given.prompt)
    source, spec, own = source_of(given.prompt, Replacements(model=given.model))
    basis = own if given.features is None else given.features
    asked = (given.prompts, given.toward, given.against, given.max_features)
    return GraphRequest(source, spec, basis, *asked)


LOOKING = (
    McpTool("ask", AskArguments, AnswersToPrompts, ask),
    McpTool("features", FeaturesArguments, Features, features),
    McpTool("graph", GraphArguments, Graphs, graph, is_read_only=False),
)
