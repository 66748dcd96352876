"""Reports and graphs as resources: how they are named, listed and read.

A name is looked up among the runs and graphs there are; no path is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from mcp_types import ResourceLink

from tracer.cli.graph import GRAPHS
from tracer.cli.mcp.folders import Folders
from tracer.errors import UsageError, show
from tracer.record.run_folder import VERDICT
from tracer.record.runs import find_runs
from tracer.report.markdown import markdown
from tracer.report.run import REPORT, Run

RUNS = "tracer://runs/"
SUMMARY = "summary.md"
GRAPH_FILES = "tracer://graphs/"
TEMPLATES = {
    f"{RUNS}{{hypothesis}}/{{run}}/{name}": what
    for name, what in (
        (SUMMARY, "A run's verdict, outcomes and caveats."),
        (REPORT, "A run's whole report, a page that opens offline."),
        (VERDICT, "A run's verdict with what came out on each prompt."),
    )
} | {f"{GRAPH_FILES}{{name}}": "An attribution graph, or the page that shows it."}
_TYPES = {".md": "text/markdown", ".html": "text/html", ".json": "application/json"}
_MOST_LISTED = 50


def run_links(run: str) -> tuple[ResourceLink, ...]:
    """What can be read of a run.

    Args:
        run: Its id.
    """
    return tuple(
        _link(_run_uri(run, name), f"{run}: {name}") for name in (SUMMARY, REPORT, VERDICT)
    )


def graph_links(paths: Iterable[str]) -> Iterator[ResourceLink]:
    """Those of a graph's files that are text."""
    for path in map(Path, paths):
        if path.suffix in _TYPES:
            yield _link(GRAPH_FILES + quote(path.name), path.name)


def listed_links(reports: Path) -> list[ResourceLink]:
    """Of the newest runs, and of the graphs."""
    newest = [entry for entry in find_runs(reports)[::-1] if entry.status == "complete"]
    runs = [link for entry in newest[:_MOST_LISTED] for link in run_links(entry.id)]
    return [*runs, *graph_links(path.name for path in _graphs()[:_MOST_LISTED])]


class ReadResource(NamedTuple):
    """The text of a resource."""

    text: str
    mime_type: str


def read_link(uri: str, reports: Path, folders: Folders) -> ReadResource:
    """What one of the links names.

    Raises:
        UsageError: There is no such thing, or it cannot be read.
    """
    for path in _graphs():
        if uri == GRAPH_FILES + quote(path.name):
            text = folders.inside(path).read_text(encoding="utf-8")
            return ReadResource(text, _TYPES[path.suffix])
    for entry in find_runs(reports) if uri.startswith(RUNS) else ():
        for name, read in _READ.items():
            if uri == _run_uri(entry.id, name):
                return ReadResource(read(folders.whole(entry.folder)), _TYPES[Path(name).suffix])
    raise UsageError(f"{show(uri)}: there is no such run or graph here.")


def _summary(folder: Path) -> str:
    run = Run.open(folder)
    return markdown(run.record, run.verdict)


def _file(name: str) -> Callable[[Path], str]:
    def read(folder: Path) -> str:
        return (folder / name).read_text(encoding="utf-8")

    return read


_READ: dict[str, Callable[[Path], str]] = {
    SUMMARY: _summary,
    REPORT: _file(REPORT),
    VERDICT: _file(VERDICT),
}


def _graphs() -> list[Path]:
    """The text files of the graphs' folder, newest first."""
    if not GRAPHS.is_dir():
        return []
    found = [path for path in GRAPHS.iterdir() if path.suffix in _TYPES and path.is_file()]
    return sorted(found, key=lambda path: (-path.stat().st_mtime, path.name))


def _run_uri(run: str, name: str) -> str:
    return f"{RUNS}{quote(run)}/{name}"


def _link(uri: str, name: str) -> ResourceLink:
    return ResourceLink(uri=uri, name=name, mime_type=_TYPES[Path(uri).suffix])
