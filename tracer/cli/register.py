"""`tracer register`: fix what a hypothesis claims before anything of it is measured."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tracer.cli import options
from tracer.cli.output import nothing_selected, require_writable, stderr, stdout, worst
from tracer.cli.select import hypothesis_paths, read_all
from tracer.errors import EXIT_OK, UsageError
from tracer.evidence.post_hoc import changed_since
from tracer.hypothesis.load import HypothesisFile, Replacements
from tracer.record.registration import REGISTERED, register, when


def register_(
    files: options.Files = None, set_: options.Sets = None, out: options.Out = options.REPORTS
) -> int:
    """Register hypotheses: their claim, prompts, clamps and expectations, once and for good.

    `tracer run` registers by itself before it measures; what is changed afterwards shows as post
    hoc in every later run. A file that claims something else than is registered is refused here.

    tracer register hypotheses/two_hop.yaml
    """
    paths = hypothesis_paths(files)
    if not paths:
        return nothing_selected("there is no hypothesis file here.")
    require_writable(out, "--out")
    found = read_all(paths, Replacements(set=tuple(set_ or ())).overrides())
    return worst([*found.say_broken(), *(_register_file(file, out) for file in found.files)])


def _register_file(file: HypothesisFile, out: Path) -> int:
    try:
        stdout().say(_register(file, out))
    except UsageError as error:
        stderr().say(str(error))
        return error.exit_code
    return EXIT_OK


def _register(file: HypothesisFile, out: Path) -> str:
    name, now = file.hypothesis.hypothesis, datetime.now(UTC)
    found = register(out, file.hypothesis, now)
    path = out / name / REGISTERED
    changes = changed_since(found, file.hypothesis)
    if changes:
        told = "\n".join(f"  {change.told('registered with')}" for change in changes)
        raise UsageError(
            f"{file.path}: {name} was registered on {when(found)} ({path}) and stays as it was. "
            f"A new claim needs a name of its own; a run of this one would be post hoc:\n{told}"
        )
    return f"{name}: registered on {when(found)}, SHA-256 {found.sha256}\n  {path}"
