"""`tracer propose`: from prompts by concept to a registered hypothesis file.

`--json` writes `tracer.cli.documents.proposal`; `tracer schema propose` prints its schema.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tracer.api import proposal
from tracer.api.proposal import Proposed
from tracer.cli import options
from tracer.cli.cases import cases_of
from tracer.cli.compare import Baseline
from tracer.cli.documents.proposal import Proposal
from tracer.cli.json_output import FileResult, case_ending
from tracer.cli.matrix import select
from tracer.cli.measuring import Measuring
from tracer.cli.output import (
    STDOUT,
    print_table,
    require_writable,
    require_writable_file,
    screen_beside,
    stderr,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.cli.runner import Runner
from tracer.cli.select import FileFilters
from tracer.cli.validate import tokenize_here
from tracer.engine.last_opened import LastOpened
from tracer.engine.model.sources import named_model
from tracer.engine.store import Store, root
from tracer.errors import EXIT_OK, UsageError, show
from tracer.evidence.proposed import LEAST_SHARE
from tracer.evidence.wording import counted
from tracer.hypothesis.concepts import Concepts, of_sets, of_table
from tracer.hypothesis.declared import WHAT_NAMES_ARE, is_name
from tracer.hypothesis.load import Replacements
from tracer.hypothesis.names import NEURONS, require_possible
from tracer.hypothesis.studies.necessity import Necessity
from tracer.record.files import create_text
from tracer.record.registration import REGISTERED, register, registered, when
from tracer.report.matrix import combinations
from tracer.report.proposal import group_words
from tracer.report.screen import Screen
from tracer.report.text import percent

_MOST_GROUPS = 8


def propose(
    template: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEMPLATE]", help="A text with {variables}, for --table.", show_default=False
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A prompt in each row: values of the variables, or a `text`, and its `answer`: "
            ".csv or .tsv with names in the first line, .jsonl, or .yaml by prompt.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column that tells concepts apart. Default: the answer."
        ),
    ] = None,
    prompts: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Instead of a table, a set of prompts of one concept: lines of text, or a table "
            "with a column `text`. Repeatable, twice at least.",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What the hypothesis is called.")
    ] = "proposed",
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="The file to write; it never replaces one. Default: NAME.yaml.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = None,
    features: options.Features = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**31 - 1, help="Of the split, and the file's.")
    ] = 0,
    out: options.Out = options.REPORTS,
    run: Annotated[bool, typer.Option("--run", help="Judge it at once.")] = False,
    json_: Annotated[Path | None, options.json_file("The proposal")] = None,
    quiet: options.Quiet = False,
) -> int:
    """Propose a hypothesis about prompts by concept, from what the model does with them.

    tracer propose "The capital of the state containing {city} is" --table cities.csv

    tracer propose --prompts praise.txt --prompts blame.txt --name mood --run

    Prompts that the model cannot do are left out, the others are divided into discovery and
    held-out ones. Features, their number and every threshold come from discovery prompts; the file
    says how. It is registered before anything held out is clamped.
    """
    asked = _asked(template, table, by, prompts or [])
    basis, path = features or NEURONS, file or Path(f"{name}.yaml")
    spec = named_model(model, device, dtype)
    require_possible(basis)
    _require_new(name, path, out)
    require_writable(out, "--out")
    require_writable(path.parent, "--file")
    require_writable_file(json_, "--json")
    with progress_on(stderr(), quiet=quiet or json_ == STDOUT) as progress:
        tokenize_here(asked.file(spec, basis), LastOpened(), progress)  # every mistake, first
        made = proposal.propose(
            asked, spec, basis, name=name, path=str(path), seed=seed, progress=progress
        )
    create_text(path, made.file.text)
    done = register(out, made.file.hypothesis, datetime.now(UTC))
    screen = screen_beside(json_)
    _print(screen, made)
    screen.paragraph(f"{path}: {name}, registered on {when(done)}, SHA-256 {done.sha256}", indent=0)
    ended = None
    if run:
        screen.say()
        ended = _judged(path, out, screen, quiet=quiet or json_ == STDOUT)
    if json_ is not None:
        told = None if ended is None else case_ending(ended)
        document = Proposal.of(path.as_posix(), done.sha256, made, told)
        write_document(json_, document.written())
    return EXIT_OK if ended is None else ended.code


def _asked(template: str | None, table: str | None, by: str | None, sets: list[Path]) -> Concepts:
    """The prompts, from the one source that is given.

    Raises:
        UsageError: None is given, or both, or an option of the other.
        HypothesisError: Every mistake in them.
    """
    if (table is None) == (not sets):
        found = "none is given" if table is None else "both are given"
        raise UsageError(f"prompts come by --table, or by --prompts twice or more; {found}.")
    if table is not None:
        return of_table(template, table, by)
    if template is not None or by is not None:
        raise UsageError("TEMPLATE and --by are for --table; sets of --prompts are whole texts.")
    return of_sets(sets)


def _require_new(name: str, path: Path, out: Path) -> None:
    """Refuse a name or a file that is taken, before the model is opened."""
    if not is_name(name):
        raise UsageError(f"--name {show(name)}: {WHAT_NAMES_ARE}.")
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--file {path}: its name ends in .yaml.")
    if path.exists():
        raise UsageError(f"{path} is there already; name another one with --file, or --name.")
    if (found := registered(out, name)) is not None:
        raise UsageError(
            f"{name} was registered on {when(found)} ({out / name / REGISTERED}), and a "
            "registration is for good: choose another --name."
        )


def _judged(path: Path, out: Path, screen: Screen, *, quiet: bool) -> FileResult:
    """Measure and judge the file as `tracer run` does."""
    runner = Runner(
        Measuring(out, None, fresh=False, keep_going=False, store=Store(root())),
        quiet=quiet,
        exitfirst=False,
        screen=screen,
        baseline=Baseline(None),
        strict=True,
        is_matrix=False,
    )
    selected = select([path], combinations((), ()), Replacements(), FileFilters(None, (), None))
    [result] = runner.one_after_another(cases_of(selected))
    return result


def _print(screen: Screen, made: Proposed) -> None:
    """Concepts, groups, sets that were tried, and what is expected."""
    found = made.discovery
    rows = [
        (
            found.labels[concept],
            answer,
            *(str(len(found.of(concept, fate))) for fate in ("discovery", "held out", "dropped")),
        )
        for concept, answer in found.answers.items()
    ]
    columns = [("concept", 0), ("answer", 0), ("discovery", 0), ("held out", 0), ("left out", 0)]
    print_table(screen, columns, [(label, repr(answer), *n) for label, answer, *n in rows])
    screen.say()
    for label, why in found.left_out.items():
        screen.paragraph(f"{label} is left out: {why}.", indent=0)
    at = ", ".join(f"{percent(share)} at {span}" for span, share in found.influence_at.items())
    screen.paragraph(f"Influence of the graphs' features: {at}. Groups that act alike:", indent=0)
    for group in found.groups[:_MOST_GROUPS]:
        screen.paragraph(group_words(group, found.labels))
    screen.say()
    rows = [
        (
            each.at,
            str(each.top),
            f"{each.n_right} of {each.n_swaps}",
            "taken" * (each is found.chosen),
        )
        for each in found.tried
    ]
    print_table(screen, [("sets at", 0), ("features", 0), ("swaps", 0), ("", 0)], rows)
    screen.say()
    prompts = counted(found.n_held_out, "held-out prompt")
    names = [*made.file.hypothesis.studies_of(Necessity), *made.file.hypothesis.interventions]
    beside = f", and {', '.join(names)}" if names else ""
    share = percent(made.expected.mostly)
    screen.paragraph(f"Claimed of {prompts}: {share} of the swaps{beside}.", indent=0)
    if found.chosen.rate < LEAST_SHARE:
        screen.paragraph(
            "Less than half of the swaps succeeded on discovery prompts: no set that was tried "
            "carries the concepts, and the file is likely to be refuted.",
            indent=0,
        )
    if made.rehearsal.told:
        screen.paragraph("Not claimed, since it did not hold on discovery prompts:", indent=0)
    for sentence in made.rehearsal.told:
        screen.paragraph(sentence)
