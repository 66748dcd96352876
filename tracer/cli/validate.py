"""`tracer validate`: every mistake in hypothesis files, without running anything."""

from __future__ import annotations

from typing import Any

from tracer.cli import options
from tracer.cli.exit_codes import nothing_selected, worst
from tracer.cli.json_output import FileResult, to_json
from tracer.cli.output import stderr, stdout, write_stdout
from tracer.cli.progress import progress_on
from tracer.cli.select import hypothesis_paths, read_all
from tracer.cli.tokenize import tokenize_here
from tracer.engine.last_opened import LastOpened
from tracer.engine.progress import Progress
from tracer.errors import EXIT_OK, TracerError
from tracer.hypothesis.load import HypothesisFile, Replacements
from tracer.report.terminal import Screen

VALIDATION = "tracer.validation/1"


def validate(
    files: options.Files = None,
    set_: options.Sets = None,
    model: options.Model = None,
    json_: options.Json = False,
) -> int:
    """Find every mistake in hypothesis files, without running anything.

    Tokens are checked where the model's tokenizer is already here; nothing is downloaded.

    tracer validate

    tracer validate hypotheses/two_hop.yaml --model smollm2-135m
    """
    paths = hypothesis_paths(files)
    if not paths:
        return nothing_selected("there is no hypothesis file here.")
    found = read_all(paths, Replacements(model=model, set=tuple(set_ or ())).overrides())
    screen = stderr() if json_ else stdout()
    results = [_refused(str(path), None, error) for path, error in found.broken]
    with progress_on(stderr(), quiet=json_) as progress:
        last = LastOpened[Any]()
        results += [_check(file, screen, last, progress) for file in found.files]
    code = worst(result.code for result in results)
    if json_:
        write_stdout(to_json(results, code, VALIDATION))
    return code


def _refused(path: str, name: str | None, error: TracerError) -> FileResult:
    stderr().say(str(error))
    return FileResult(path, name, error.exit_code, error=error, sentence=str(error))


def _check(
    file: HypothesisFile, screen: Screen, last: LastOpened[Any], progress: Progress
) -> FileResult:
    name = file.hypothesis.hypothesis
    try:
        tokens = tokenize_here(file, last, progress)
    except TracerError as error:
        return _refused(file.path, name, error)
    screen.say(f"{file.path}: ok", "green")
    if isinstance(tokens, str):
        screen.say(f"{file.path}: tokens were not checked. {tokens}")
    return FileResult(file.path, name, EXIT_OK)
