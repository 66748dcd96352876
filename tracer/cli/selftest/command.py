"""`tracer selftest`: how often the judging is wrong, on models whose insides are known."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tracer.cli import options, selftest
from tracer.cli.documents.selftest import LevelFacts, SelftestRates
from tracer.cli.output import (
    require_writable,
    require_writable_file,
    screen_beside,
    stderr,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.cli.selftest.calibration import Level, levels
from tracer.cli.selftest.family import Truth
from tracer.cli.selftest.rates import (
    FALSE_NEGATIVES,
    FALSE_POSITIVES,
    ClaimResult,
    Tally,
    by,
    of_unit,
    stoppers,
    tally,
    unit_rates,
    within_goals,
)
from tracer.errors import EXIT_NOT_CONFIRMED, EXIT_OK
from tracer.report.screen import Screen

_HEADINGS = ("n", "conf.", "cons.", "ref.", "inc.", "wrong", "95 % exact")
_TITLES: dict[Truth, str] = {
    "false": "false claims of {}",
    "true": "true claims of {}",
    "open": "of {}, not counted",
}
_UNITS = {"features": False, "heads": True}


def selftest_(
    models: Annotated[int, typer.Option(min=1, metavar="N", help="How many planted models.")] = 15,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Other models and claims.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep models and runs in a new folder; else nothing."),
    ] = None,
    json_: Annotated[Path | None, options.json_file("Rates")] = None,
    quiet: options.Quiet = False,
) -> int:
    """Try true and false claims on models with planted circuits, and tell the error rates.

    tracer selftest

    tracer selftest --models 40 --seed 1 --json rates.json

    Exit code 0 where at most 1 % of the false claims are confirmed, at most 10 % of the true
    ones are not, and no test of the judge is wrong more often than its level; else 1.
    """
    if out is not None:
        require_writable(out, "--out")
    require_writable_file(json_, "--json")
    began = time.monotonic()
    with progress_on(stderr(), quiet=quiet) as progress:
        with progress.task("importing PyTorch and TransformerLens"):
            run_trials = selftest.trials.run_trials
        with progress.task("calibrating tests on exact nulls"):
            calibrated = levels(seed)
        verdicts = run_trials(models, seed, out, progress)
    is_sound = within_goals(verdicts) and all(level.is_kept for level in calibrated)
    code = EXIT_OK if is_sound else EXIT_NOT_CONFIRMED
    screen = screen_beside(json_)
    _print(screen, verdicts)
    _print_levels(screen, calibrated)
    seconds = time.monotonic() - began
    screen.say(f"{models} models, {len(verdicts)} hypotheses, seed {seed}, {seconds:.0f} s", "dim")
    if json_ is not None:
        document = SelftestRates(
            models=models,
            seed=seed,
            exit_code=code,
            features=unit_rates(verdicts, heads=False),
            heads=unit_rates(verdicts, heads=True),
            calibration=tuple(LevelFacts.model_validate(level) for level in calibrated),
        )
        write_document(json_, document.written())
    return code


def _print(screen: Screen, verdicts: Sequence[ClaimResult]) -> None:
    rows: list[list[Text]] = []
    for unit, heads in _UNITS.items():
        own = of_unit(verdicts, heads=heads)
        for truth, title in _TITLES.items():
            rows += _rows(screen, title.format(unit), by(own, truth, lambda one: one.family))
        for truth in ("false", "true"):
            title = f"{truth}, of {unit}, as stated"
            rows += _rows(screen, title, by(own, truth, lambda one: one.kind))
    screen.table([("claims", 1), *((heading, 0) for heading in _HEADINGS)], rows)
    for unit, heads in _UNITS.items():
        screen.say()
        _print_rates(screen, unit, of_unit(verdicts, heads=heads))


def _rows(screen: Screen, title: str, groups: Mapping[str, Tally]) -> list[list[Text]]:
    heading = [[screen.text(title, "dim italic")]] if groups else []
    return [*heading, *(_row(screen, f"  {name}", each) for name, each in groups.items())]


def _row(screen: Screen, name: str, each: Tally) -> list[Text]:
    cells = (each.n, each.confirmed, each.consistent, each.refuted, each.inconclusive)
    wrong = "" if each.errors is None else str(each.errors)
    colour = "red" if each.errors else ""
    between = "" if each.interval is None else _between(each.interval)
    return [
        screen.text(name),
        *(Text(str(cell), justify="right") for cell in cells),
        Text(wrong, colour, justify="right"),
        screen.text(between),
    ]


def _print_rates(screen: Screen, unit: str, verdicts: Sequence[ClaimResult]) -> None:
    false, true = tally(verdicts, "false"), tally(verdicts, "true")
    for name, each, goal in (
        ("false positives", false, FALSE_POSITIVES),
        ("false negatives", true, FALSE_NEGATIVES),
    ):
        if each.rate is None or each.interval is None:
            screen.say(f"{name}, {unit}: no claim was tried")
            continue
        kept = each.rate <= goal
        told = f"{each.errors} of {each.n}, {_percent(each.rate)} ({_between(each.interval)})"
        mark = "✔" if kept else "✘"
        screen.say(
            f"{mark} {name}, {unit}: {told}; goal ≤ {_percent(goal)}", "green" if kept else "red"
        )
    screen.say(
        f"  of true ones {true.confirmed} confirmed, {true.consistent} consistent, "
        f"{true.refuted} refuted, {true.inconclusive} inconclusive"
    )
    screen.say(f"  false claims of which all held, which lack evidence: {false.consistent}")
    for lack, n in stoppers(verdicts, "false").items():
        screen.say(f"    {lack}: {n}", "dim")


def _print_levels(screen: Screen, calibrated: Sequence[Level]) -> None:
    """How often the judge's tests are wrong on exact nulls."""
    rows: list[list[Text]] = []
    for level in calibrated:
        cells = (str(level.n), _percent(level.rate), _percent(level.allowed))
        error = f"± {_percent(level.error)}"
        rows.append(
            [
                screen.text(level.name),
                *(Text(cell, justify="right") for cell in (*cells, error)),
                Text("✔" if level.is_kept else "✘", "green" if level.is_kept else "red"),
            ]
        )
    screen.say()
    headings = ("n", "wrong", "allowed", "error", "")
    screen.table([("exact nulls", 1), *((heading, 0) for heading in headings)], rows)
    screen.say()


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _between(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"
