"""`tracer specificity`: every hypothesis's ablation on every other hypothesis's prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from tracer import engine
from tracer.cli import options
from tracer.cli.documents.specificity import AblationSummary, SpecificitySummary
from tracer.cli.output import (
    nothing_selected,
    print_table,
    require_writable,
    require_writable_file,
    screen_beside,
    stderr,
    write_dated,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.cli.select import hypothesis_paths, read_all
from tracer.engine.model.sources import locate
from tracer.errors import EXIT_OK
from tracer.evidence.specificity import SpecificityRow, summarise
from tracer.hypothesis.load import HypothesisFile, Replacements
from tracer.record.files import as_json
from tracer.record.specificity import Excluded, Specificity
from tracer.report.screen import Screen
from tracer.report.specificity import render_specificity, signed

FOLDER = "specificity"


class Comparable(NamedTuple):
    """Hypotheses of one model and basis, and the others."""

    files: list[HypothesisFile]
    apart: list[Excluded]


def specificity(
    files: options.Files = None,
    set_: options.Sets = None,
    model: options.Model = None,
    features: options.Features = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    out: options.Out = options.REPORTS,
    json_: Annotated[Path | None, options.json_file("Summary")] = None,
    quiet: options.Quiet = False,
) -> int:
    """Ablate each hypothesis's supernodes on every other's prompts, and on neutral text.

    tracer specificity hypotheses/

    Writes specificity.json and specificity.html into a folder of its own under DIR/specificity.
    """
    replaced = Replacements(model, features, device, dtype, None, tuple(set_ or ())).overrides()
    found = read_all(hypothesis_paths(files), replaced)
    if not found.files:
        return nothing_selected("there is no sound hypothesis file here.")
    chosen = comparable(found.files)
    broken = [
        Excluded(name=path.stem, file=str(path), reason=str(error)) for path, error in found.broken
    ]
    require_writable(out, "--out")
    require_writable_file(json_, "--json")
    with progress_on(stderr(), quiet=quiet) as progress:
        with progress.task("importing PyTorch and TransformerLens"):
            measure = engine.specificity.measure_specificity
        measured = measure(chosen.files, [*broken, *chosen.apart], reports=out, progress=progress)
    document = as_json(measured)
    folder = write_dated(out / FOLDER, FOLDER, document, render_specificity(measured))
    rows = summarise(measured)
    _print(screen_beside(json_), rows, measured, folder)
    if json_ is not None:
        told = tuple(AblationSummary.model_validate(row) for row in rows)
        write_document(json_, SpecificitySummary(folder=str(folder), rows=told).written())
    return EXIT_OK


def comparable(files: Sequence[HypothesisFile]) -> Comparable:
    """The most hypotheses that share model and basis, those first whose model is here."""
    groups: dict[str, list[HypothesisFile]] = {}
    for file in files:
        groups.setdefault(_named(file), []).append(file)
    best = max(groups, key=lambda name: (_is_here(groups[name][0]), len(groups[name])))
    apart = [
        Excluded(
            name=file.hypothesis.hypothesis,
            file=file.path,
            reason=f"it is about {_named(file)}, the matrix about {best}.",
        )
        for file in files
        if _named(file) != best
    ]
    return Comparable(groups[best], apart)


def _named(file: HypothesisFile) -> str:
    spec = file.hypothesis.model_spec
    revision = f"@{spec.revision}" if spec.revision else ""
    return f"{spec.name}{revision} ({spec.dtype}, {spec.device}) in {file.hypothesis.features}"


def _is_here(file: HypothesisFile) -> bool:
    return locate(file.hypothesis.model_spec).state in ("ready", "to convert")


def _print(
    screen: Screen, rows: Sequence[SpecificityRow], measured: Specificity, folder: Path
) -> None:
    headings = [("ablated", 4), ("on task", 0), ("off task", 0), ("selective", 0), ("KL", 0)]
    cells = [
        (
            row.name,
            signed(row.cells[row.name].change),
            f"{row.off_task:.2f}",
            "-" if row.selectivity is None else f"{row.selectivity:.1f}x",
            f"{row.kl_median:.3f}",
        )
        for row in rows
    ]
    print_table(screen, headings, cells)
    for row in rows:
        if row.problem:
            screen.paragraph(f"{row.name}: {row.problem}", "yellow")
    for each in measured.apart:
        screen.paragraph(f"not comparable: {each.name}: {each.reason}", "yellow")
    screen.say(f"  {folder / 'specificity.html'}")
