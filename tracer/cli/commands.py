"""The sub-commands of `tracer`: where each is, and the sentence that tells what it does.

A command is imported when it is called, so that `tracer --help` takes none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand


class Command(NamedTuple):
    """A sub-command."""

    name: str
    panel: str
    """Of `tracer --help`, that lists it."""
    function: str
    """`module:function`, the module within `tracer.cli`."""
    sentence: str
    """The first of the function's docstring."""
    subcommands: tuple[Command, ...] = ()
    """Called where the first word after the command is the name of one; they have no panel."""


COMMANDS = (
    Command(
        "run", "Measure", "run:run", "Measure hypotheses, judge them, and write a report of each."
    ),
    Command(
        "submit",
        "Measure",
        "submit:submit",
        "Submit a run to SLURM, as an array of jobs that each run one shard of the cases.",
    ),
    Command(
        "validate",
        "Measure",
        "validate:validate",
        "Find every mistake in hypothesis files, without running anything.",
    ),
    Command(
        "plan",
        "Measure",
        "plan:plan",
        "Say how many passes a run takes, how much memory and roughly how long.",
    ),
    Command(
        "register",
        "Measure",
        "register:register_",
        "Register hypotheses: their claim, prompts, clamps and expectations, once and for good.",
    ),
    Command(
        "specificity",
        "Measure",
        "specificity:specificity",
        "Ablate each hypothesis's supernodes on every other's prompts, and on neutral text.",
    ),
    Command(
        "ask",
        "Look inside",
        "ask:ask",
        "Ask a model for its next token, and see how prompts are cut into tokens.",
    ),
    Command(
        "propose",
        "Look inside",
        "propose:propose",
        "Propose a hypothesis about prompts by concept, from what the model does with them.",
    ),
    Command(
        "graph",
        "Look inside",
        "graph:graph",
        "Take the attribution graph of a prompt: what acts on what, and on the output.",
    ),
    Command(
        "features",
        "Look inside",
        "features.cards:features",
        "Tell what features are: tokens they promote, and text they are active on.",
        (
            Command(
                "compact",
                "",
                "features.compact:compact",
                "Write a dictionary with int8 weights, to keep or to ship: a quarter of its size "
                "in float32.",
            ),
            Command(
                "index",
                "",
                "features.index:index",
                "Find where in a text every feature is most active; other commands then show it.",
            ),
            Command(
                "search",
                "",
                "features.search:search",
                "Find features that fire on a text, and features that promote it where it is one "
                "token.",
            ),
            Command(
                "label",
                "",
                "features.label:label",
                "Give features labels from a file or from Neuronpedia's export, in place of "
                "automatic ones.",
            ),
            Command(
                "evaluate",
                "",
                "features.evaluate:evaluate",
                "Measure how good dictionaries are: what they explain, and what the model says "
                "with them.",
            ),
        ),
    ),
    Command(
        "train",
        "Look inside",
        "train:train",
        "Train a dictionary on a model's own activations, or go on with its training.",
    ),
    Command(
        "list",
        "Read runs",
        "list:list_",
        "List hypotheses with their claim and latest verdict, or the runs there are.",
    ),
    Command(
        "show",
        "Read runs",
        "runs:show",
        "Print the verdict table of a run again; nothing is measured or written.",
    ),
    Command(
        "dashboard",
        "Read runs",
        "dashboard:dashboard",
        "Explore runs and write hypotheses in a browser, on this machine only.",
    ),
    Command(
        "judge",
        "Read runs",
        "runs:judge",
        "Judge a run again from what was measured, and rewrite its verdict and report.",
    ),
    Command(
        "report",
        "Read runs",
        "report:report",
        "Write the HTML report of runs again, e.g. with a newer tracer.",
    ),
    Command(
        "library",
        "Read runs",
        "library:library",
        "Write a page of hypotheses: claim, source, verdict, model, date and a link to the report.",
    ),
    Command(
        "compare",
        "Read runs",
        "compare:compare",
        "Say what came out otherwise in B than in A, and what was changed between them.",
    ),
    Command(
        "bless",
        "Read runs",
        "compare:bless",
        "Keep what a run came to as the baseline that `tracer run --baseline` holds later ones to.",
    ),
    Command(
        "models",
        "Set up",
        "setup:models",
        "List the models that have a name, what is ready here, and what to install.",
    ),
    Command(
        "schema",
        "Set up",
        "schema:schema",
        "Print the JSON Schema of hypothesis files, or of what a command writes with --json.",
    ),
    Command(
        "init",
        "Set up",
        "setup:init",
        "Write a commented hypothesis to start from; it never replaces a file.",
    ),
    Command(
        "convert",
        "Set up",
        "convert:convert",
        "Print circuit-tracer's interventions or Neuronpedia's steering as parts of a hypothesis.",
    ),
    Command(
        "cache",
        "Set up",
        "setup:cache",
        "Say where measurements are kept for later runs, and how much they take.",
    ),
    Command(
        "mcp",
        "Set up",
        "mcp.command:mcp_",
        "Serve the commands to an agent, as tools of the Model Context Protocol over stdio.",
    ),
    Command(
        "selftest",
        "Set up",
        "selftest.command:selftest_",
        "Try true and false claims on models with planted circuits, and tell the error rates.",
    ),
)
"""In the order of `tracer --help`."""


class LateCommand(TyperCommand):
    """A command of `tracer --help`; its options are those of the function, once it is called."""

    def __init__(self, row: Command) -> None:
        super().__init__(row.name, help=row.sentence, rich_help_panel=row.panel)
        self._row = row

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **named: Any) -> Any:
        """The context of the function itself, or of its sub-command's, imported here."""
        for inner in self._row.subcommands:
            if args[:1] == [inner.name]:
                name = f"{info_name} {inner.name}"
                return typer_command(inner).make_context(name, args[1:], *more, **named)
        return typer_command(self._row).make_context(info_name, args, *more, **named)


def typer_command(row: Command) -> Any:
    """The command with its options and its whole help."""
    module, name = row.function.split(":")
    alone = typer.Typer(add_completion=False)
    inner = [f"`tracer {row.name} {each.name}`: {each.sentence}" for each in row.subcommands]
    command = alone.command(
        row.name, epilog="\n\n".join(["Sub-commands:", *inner]) if inner else None
    )
    command(getattr(import_module(f"tracer.cli.{module}"), name))
    return typer.main.get_command(alone)
