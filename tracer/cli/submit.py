"""`tracer submit`: a run in shards, each a job of a SLURM array, through submitit.

A job is the command `tracer run … --shard I/N`, so that one which was preempted, killed or out of
time takes up what it had measured when SLURM starts it again.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from tracer.cli.cases import Shard, cases_of
from tracer.cli.commands import COMMANDS, typer_command
from tracer.cli.matrix import select
from tracer.cli.output import nothing_selected, require_writable, stderr, stdout, worst
from tracer.cli.pages import write_pages_of_all
from tracer.cli.progress import progress_on
from tracer.cli.select import FileFilters, hypothesis_paths
from tracer.errors import EXIT_ENGINE, EXIT_OK, UsageError, one_line, shorten
from tracer.hypothesis.load import Replacements
from tracer.report.matrix import combinations

LOGS = Path("submitted")
_OF_EACH = ("shard", "failed", "json_", "junitxml", "baseline")
"""Options of `tracer run` that are of one process, or whose files every shard would write."""
_MINUTES = 24 * 60
"""Time of a job, unless it is given."""


@dataclass(frozen=True)
class ShardJob:
    """What a job does: one shard of a `tracer run`, in a process of its own; gives its exit code.

    It is a process of its own so that a signal of SLURM, at which submitit leaves this one in order
    to be started again, ends the measuring as well.
    """

    arguments: tuple[str, ...]
    shard: str

    def __call__(self) -> int:
        """Run it."""
        command = [sys.executable, "-m", "tracer", "run", "--shard", self.shard, *self.arguments]
        return subprocess.run(command, check=False).returncode

    def checkpoint(self) -> Any:
        """What is started again after a preemption or the job's time: the same, which goes on."""
        import submitit.helpers  # an extra

        return submitit.helpers.DelayedSubmission(self)


def submit(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILES]... [-- OPTIONS]",
            help="What `tracer run` is given; its options after `--`.",
            show_default=False,
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="How many jobs. Default: one a case.", show_default=False
        ),
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="What each job asks of SLURM, by submitit's names: partition=gpu, "
            "gpus_per_node=1, cpus_per_task=8, mem_gb=64, time=240 (minutes), "
            "array_parallelism=8, account=…, setup='[\"module load cuda\"]'. Repeatable.",
            show_default=False,
        ),
    ] = None,
    logs: Annotated[
        Path, typer.Option(metavar="DIR", help="Where submitit keeps the jobs and their output.")
    ] = LOGS,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Until all have ended; then write the pages, and end as a run does."
        ),
    ] = False,
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="Try the jobs on this machine, all at the same time, without SLURM."
        ),
    ] = False,
) -> int:
    """Submit a run to SLURM, as an array of jobs that each run one shard of the cases.

    It needs the extra `slurm`. Afterwards `tracer report` gathers.

    tracer submit hypotheses/ --shards 16 --slurm partition=gpu --slurm gpus_per_node=1

    tracer submit --slurm partition=gpu -- hypotheses/ -t two-hop --model google/gemma-2-2b
    """
    arguments = tuple(run or ())
    given = _checked(arguments)
    n_cases = _n_cases(given)
    if not n_cases:
        return nothing_selected("no hypothesis file passes the filters.")
    if importlib.util.find_spec("submitit") is None:
        raise UsageError(
            "tracer submit needs submitit, which is not installed here: "
            "pip install 'tracer-circuits[slurm]'."
        )
    if not local and shutil.which("sbatch") is None:
        raise UsageError(
            "there is no SLURM here (no command sbatch): submit from a login node, try the jobs "
            "with --local, or use `tracer run --jobs N` on this machine."
        )
    require_writable(given["out"], "--out")
    require_writable(logs, "--logs")
    n = min(n_cases, shards or n_cases)
    jobs = _submitted(arguments, n, logs, _parameters(slurm or ()), is_local=local)
    places = f"{n} job{'s' * (n > 1)} for {n_cases} case{'s' * (n_cases > 1)}"
    stdout().say(f"{places}: {', '.join(job.job_id for job in jobs)}; their output is in {logs}/")
    if not wait:
        stderr().say(f"Once they have ended: tracer report --in {given['out']}")
        return EXIT_OK
    code = worst(_codes(jobs))
    for page in write_pages_of_all(given["out"]):
        stdout().say(str(page))
    return code


def _checked(arguments: Sequence[str]) -> Mapping[str, Any]:
    """The options of `tracer run`, read as it reads them.

    Raises:
        UsageError: One is given that cannot be every shard's.
        typer.TyperException: They are none of its options.
    """
    command = typer_command(next(row for row in COMMANDS if row.name == "run"))
    given: Mapping[str, Any] = command.make_context("tracer run", list(arguments)).params
    for name in _OF_EACH:
        if given[name]:
            raise UsageError(
                f"--{name.rstrip('_')}: not with `tracer submit`, whose shards run at the same "
                "time. Gather with `tracer report`, and compare with `tracer compare`."
            )
    return given


def _n_cases(given: Mapping[str, Any]) -> int:
    """How many cases there are to run.

    Raises:
        HypothesisError: A file cannot be read; that is told here and not by a job.
    """
    cells = combinations(given["model"] or (), given["features"] or ())
    device, dtype, seed = (given[name] for name in ("device", "dtype", "seed"))
    others = Replacements(None, None, device, dtype, seed, tuple(given["set_"] or ()))
    filters = FileFilters(given["expression"], tuple(given["tags"] or ()))
    cases = cases_of(select(hypothesis_paths(given["files"]), cells, others, filters))
    for case in cases:
        if case.error is not None:
            raise case.error
    return len(cases)


def _parameters(texts: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` pairs; a value is JSON where it can be read so, else text.

    Raises:
        UsageError: One has no key, or a time is no number of minutes.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, is_pair, value = text.partition("=")
        if not is_pair or not key.isidentifier():
            raise UsageError(f"--slurm {shorten(text)!r}: write KEY=VALUE, e.g. partition=gpu.")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    minutes = found.setdefault("time", _MINUTES)
    if not isinstance(minutes, int) or minutes < 1:
        raise UsageError(f"--slurm time={minutes}: a whole number of minutes, e.g. time=240.")
    return found


def _submitted(
    arguments: tuple[str, ...],
    n: int,
    logs: Path,
    parameters: Mapping[str, Any],
    *,
    is_local: bool,
) -> list[Any]:
    import submitit  # an extra
    from submitit.core.utils import FailedSubmissionError

    executor = submitit.AutoExecutor(logs / "%j", cluster="local" if is_local else "slurm")
    own = {f"slurm_{key}": value for key, value in parameters.items()}
    if is_local:
        own = {"timeout_min": parameters["time"]}
        own |= {k: v for k, v in parameters.items() if k == "gpus_per_node"}
    try:
        executor.update_parameters(name="tracer", **own)
        tasks = [ShardJob(arguments, str(Shard(i, n))) for i in range(1, n + 1)]
        with executor.batch():
            return [executor.submit(task) for task in tasks]
    except (NameError, TypeError, ValueError, FailedSubmissionError) as error:
        raise UsageError(f"--slurm: {one_line(error)}") from error


def _codes(jobs: Sequence[Any]) -> list[int]:
    """The exit code of each job, once it has ended."""
    from submitit.core.utils import UncompletedJobError  # an extra

    codes: list[int] = []
    with (
        progress_on(stderr(), quiet=False) as progress,
        progress.task("waiting for the jobs", len(jobs)) as advance,
    ):
        for job in jobs:
            try:
                codes.append(job.result())
            except UncompletedJobError:
                stderr().say(f"job {job.job_id} ended before its shard did; see {job.paths.stderr}")
                codes.append(EXIT_ENGINE)
            advance(1)
    return codes
