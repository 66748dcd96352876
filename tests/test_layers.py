"""The plan of the house: imports point down, reading needs no torch, one room knows the model."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import tracer

ROOT = Path(tracer.__file__).parent
HEAVY = ("torch", "transformers", "transformer_lens")
TORCH_FREE = (
    "tracer",
    "tracer.record.record",
    "tracer.record.arrays",
    "tracer.record.runs",
    "tracer.report.junit",
    "tracer.evidence.judge",
    "tracer.record.graph.neuronpedia_import",
    "tracer.record.graph.neuronpedia_export",
    "tracer.record.graph.neuronpedia_import",
    "tracer.hypothesis.neuronpedia",
    "tracer.record.graph.files",
    "tracer.record.graph.prune",
    "tracer.record.graph.influence",
    "tracer.dashboard.explore.graph",
    "tracer.dashboard.explore.links",
    "tracer.dashboard.explore.feature",
    "tracer.dashboard.explore.supernodes",
    "tracer.dashboard.explore.index",
    "tracer.dashboard.explore.index",
    "tracer.dashboard.explore.links",
    "tracer.dashboard.intervene.attempt",
    "tracer.hypothesis.load",
    "tracer.report",
    "tracer.report.render",
    "tracer.report.run_graphs",
    "tracer.evidence.baseline_run",
    "tracer.evidence.regression",
    "tracer.report.matrix",
    "tracer.cli.convert",
    "tracer.cli.dashboard",
    "tracer.dashboard.app",
    "tracer.cli.compare",
    "tracer.report.run",
    "tracer.report.terminal",
    "tracer.hypothesis.names",
    "tracer.api",
    "tracer.__main__",
)


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("tracer", *path.relative_to(ROOT).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


def imported(node: ast.AST) -> set[str]:
    """Modules that one import statement names; a name from a package may itself be a module."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        assert node.module is not None
        inner = {f"{node.module}.{alias.name}" for alias in node.names}
        known = inner & set(modules())
        return known if len(known) == len(inner) else known | {node.module}
    return set()


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(tree: ast.AST, *, inside_functions: bool, of_types: bool = False) -> list[ast.AST]:
    """Import statements, those only a type checker follows left out unless asked for."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(tree):
        if is_type_checking(child) and not of_types:
            continue
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if is_function and not inside_functions:
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            found.append(child)
        found += statements(child, inside_functions=inside_functions, of_types=of_types)
    return found


def first_party(names: set[str]) -> set[str]:
    return {name for name in names if name == "tracer" or name.startswith("tracer.")}


def edges() -> dict[str, set[str]]:
    return {
        name: {
            target
            for node in statements(tree, inside_functions=False)
            for target in first_party(imported(node))
        }
        for name, tree in modules().items()
    }


def cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """Some way round, where there is one."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for target in sorted(graph.get(name, ())):
            found = walk(target, [*path, name])
            if found:
                return found
        done.add(name)
        return None

    return next((found for name in graph if (found := walk(name, []))), None)


def test_the_reader_of_imports_sees_a_cycle():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None
    assert "tracer.record.record" in edges()["tracer.evidence.judge"]


def test_imports_name_what_is_there():
    missing = {
        f"{name} imports {target}"
        for name, targets in edges().items()
        for target in targets
        if target not in modules()
    }
    assert not missing


def test_no_import_goes_round_in_a_circle():
    assert cycle(edges()) is None


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_first_party_import_hides_in_a_function(name: str):
    tree = modules()[name]
    outer = statements(tree, inside_functions=False)
    hidden = [n for n in statements(tree, inside_functions=True) if n not in outer]
    assert not [ast.unparse(node) for node in hidden if first_party(imported(node))]


def test_only_the_model_room_knows_transformer_lens():
    knowing = {
        name
        for name, tree in modules().items()
        for node in statements(tree, inside_functions=True, of_types=True)
        for target in imported(node)
        if target.split(".")[0] == "transformer_lens"
    }
    assert {name for name in knowing if not name.startswith("tracer.model.")} == set()


def test_the_core_does_not_know_the_front_ends():
    front = ("tracer.cli", "tracer.__main__")
    knowing = {
        f"{name} imports {target}"
        for name, targets in edges().items()
        for target in targets
        if target.startswith(front) and not name.startswith(front)
    }
    assert not knowing


@pytest.mark.parametrize("name", [name for name in TORCH_FREE if name in modules()])
def test_reading_judging_and_reporting_leave_torch_alone(name: str):
    program = f"import sys, {name}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT.parent,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
