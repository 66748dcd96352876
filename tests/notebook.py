"""The notebook of docs/, carried out cell by cell; `python -m tests.notebook` renews its outputs.

A cell is run as IPython runs it, but for its magics: the value of its last expression is shown.
"""

from __future__ import annotations

import ast
import json
import linecache
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
MOST_HTML = 20_000
"""A longer view, such as a graph, is made again by whoever runs the notebook."""


def read() -> dict[str, Any]:
    """The notebook as JSON."""
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Its cells that run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown(cells: list[dict[str, Any]]) -> Iterator[Any]:
    """The value that each cell shows, one cell after the other in one namespace."""
    space: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells, 1):
        text, file = "".join(cell["source"]), f"<cell {number}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        body = ast.parse(text, file).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), file, "exec"), space)
        if isinstance(last, ast.Expr):
            yield eval(compile(ast.Expression(last.value), file, "eval"), space)
        else:
            yield None


def renew() -> None:
    """Run every cell and write what it shows into the notebook."""
    notebook = read()
    cells = code_cells(notebook)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for number, (cell, value) in enumerate(zip(cells, shown(cells), strict=True), 1):
            cell["execution_count"] = number
            cell["outputs"] = [_output(number, value)] if value is not None else []
    text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
    NOTEBOOK.write_text(text, encoding="utf-8")


def _output(number: int, value: Any) -> dict[str, Any]:
    data = {"text/plain": repr(value).splitlines(keepends=True)}
    html = value._repr_html_() if hasattr(value, "_repr_html_") else None
    if html and len(html) < MOST_HTML:
        data["text/html"] = html.splitlines(keepends=True)
    return {
        "data": data,
        "execution_count": number,
        "metadata": {},
        "output_type": "execute_result",
    }


if __name__ == "__main__":
    renew()
