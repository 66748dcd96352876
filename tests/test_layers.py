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
ROOMS = {
    "errors": (),
    "hypothesis": ("errors",),
    "record": ("errors", "hypothesis"),
    "evidence": ("errors", "hypothesis", "record"),
    "engine": ("errors", "hypothesis", "record"),
    "report": ("errors", "hypothesis", "record", "evidence"),
    "api": ("errors", "hypothesis", "record", "evidence", "engine", "report"),
    "dashboard": ("errors", "hypothesis", "record", "evidence", "engine", "report", "api"),
    "cli": ("errors", "hypothesis", "record", "evidence", "engine", "report", "api", "dashboard"),
}
"""What each room may import besides itself."""
ROOT_ENTRIES = {"__init__.py", "__main__.py", "errors.py", "py.typed"} | {
    room for room in ROOMS if room != "errors"
}
NEEDS_TORCH = (
    "tracer.engine",
    "tracer.api.session.",
    "tracer.cli.selftest",
    "tracer.dashboard.intervene.measure",
)
"""Opened when they are used; every other module is imported without torch."""
NEEDS_STREAMLIT = ("tracer.dashboard",)
"""An extra: without it the rest works."""
NEEDS_MCP = tuple(
    f"tracer.cli.mcp.{name}" for name in ("judging", "links", "looking", "server", "tool", "work")
)
"""An extra, too; the command is there without it, and says so."""
RUNS_WHEN_IMPORTED = ("tracer.dashboard.start.page",)


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
    assert {name for name in knowing if not name.startswith("tracer.engine.model.")} == set()


def room_of(module: str) -> str | None:
    """None for the package itself and for what runs it: they may know everything."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def forbidden(graph: dict[str, set[str]]) -> set[str]:
    """Imports that the table of rooms does not allow."""
    return {
        f"{name} imports {target}"
        for name, targets in graph.items()
        for target in targets
        if (room := room_of(name)) and (other := room_of(target))
        if other != room and other not in ROOMS[room]
    }


def test_each_room_imports_only_what_stands_above_it():
    assert forbidden({"tracer.record.x": {"tracer.evidence.judge"}}) != set()
    assert forbidden({"tracer.evidence.x": {"tracer.engine"}}) != set()
    assert forbidden({"tracer.report.x": {"tracer.record.runs"}}) == set()
    assert forbidden(edges()) == set()


def test_the_root_holds_the_rooms_and_nothing_else():
    found = {path.name for path in ROOT.iterdir() if path.name != "__pycache__"}
    assert found == ROOT_ENTRIES
    assert len(found) <= 12


def lazy_names(tree: ast.Module) -> set[str]:
    """Submodules that a package gives out when they are asked for."""
    return {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_loader.attach"
        for keyword in node.keywords
        for name in ast.literal_eval(keyword.value)
    }


def test_what_is_opened_late_is_there_and_is_typed():
    """A package that opens parts of itself late names them twice: for Python and for the types."""
    late = {name: found for name, tree in modules().items() if (found := lazy_names(tree))}
    assert "tracer.engine" in late
    for package, names in late.items():
        typed = {
            target
            for node in statements(modules()[package], inside_functions=False, of_types=True)
            for target in first_party(imported(node))
        }
        assert typed == {f"{package}.{name}" for name in names}
        assert typed <= set(modules())


def test_no_other_package_hides_imports():
    hiding = [
        name
        for name, tree in modules().items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__"
    ]
    assert hiding == []


@pytest.mark.parametrize(
    ("absent", "but"),
    [
        (HEAVY, NEEDS_TORCH),
        (("streamlit",), NEEDS_STREAMLIT),
        (("mcp", "mcp_types"), NEEDS_MCP),
    ],
    ids=["torch", "streamlit", "mcp"],
)
def test_what_does_not_need_it_is_imported_without(absent: tuple[str, ...], but: tuple[str, ...]):
    names = [
        name
        for name in sorted(modules())
        if not name.startswith(but) and name not in RUNS_WHEN_IMPORTED
    ]
    assert "tracer.cli.app" in names
    program = (
        f"import importlib, sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        f"for name in {names!r}: importlib.import_module(name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT.parent,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_no_two_public_classes_have_one_name():
    homes: dict[str, list[str]] = {}
    for name, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(name)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}
