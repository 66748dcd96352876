"""The steps of docs/extending.md, carried out on a copy of the package."""

import json
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest

import tracer

DOCS = Path(__file__).parents[1] / "docs" / "extending.md"
STEP = re.compile(r"<!-- (file|add to): (.+?) -->\n```\w+\n(.*?)```", re.DOTALL)
PROGRAM = """
import json, tracer
run = tracer.run("toy.yaml", reports="reports", cache=False)
assert tracer.__file__.startswith({root!r})
outcomes = [o.model_dump(mode="json") for o in run.verdict.outcomes]
again = run.judge()
print(json.dumps({{"outcomes": outcomes, "page": str(run.path / "report.html"),
                  "same": again.verdict == run.verdict, "text": str(run)}}))
"""


def add_to_tuple(path: Path, name: str, lines: list[str]) -> None:
    """Put imports behind the last import and entries at the end of a tuple."""
    text = path.read_text()
    for line in lines:
        if line.startswith("from "):
            last = max(found.end() for found in re.finditer(r"^from .*\n", text, re.MULTILINE))
            text = text[:last] + line + "\n" + text[last:]
        else:
            start = re.search(rf"^{name}\b[^=]*= \(", text, re.MULTILINE).end()
            depth, end = 1, start
            while depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            inside = text[start : end - 1].rstrip().rstrip(",")
            text = f"{text[:start]}{inside},\n    {line}\n{text[end - 1 :]}"
    path.write_text(text)


@pytest.fixture(scope="module")
def root(tiny, tmp_path_factory):
    root = tmp_path_factory.mktemp("extended")
    copytree(Path(tracer.__file__).parent, root / "tracer")
    (root / "model").symlink_to(tiny)
    steps = STEP.findall(DOCS.read_text(encoding="utf-8"))
    assert len(steps) == 9
    for kind, where, body in steps:
        if kind == "file":
            (root / where).write_text(body, encoding="utf-8")
        else:
            name, path = where.split(" in ")
            add_to_tuple(root / path, name, body.splitlines())
    return root


def python(root, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_new_kinds_are_measured_judged_and_reported(root):
    done = python(root, "-c", PROGRAM.format(root=str(root)))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    measures = [(o["intervention"], o["split"], o["expectation"]) for o in found["outcomes"]]
    assert measures == [
        ("put_in", "discovery", "probability of the top token"),
        ("put_in", "held out", "probability of the top token"),
        ("each", "discovery", "top token"),
        ("each", "held out", "top token"),
    ]
    assert {o["outcome"] for o in found["outcomes"][:2]} == {"held"}
    assert all(len(o["prompts"]) == 2 for o in found["outcomes"][2:])
    assert found["same"] and "another one" in found["text"]
    page = (root / found["page"]).read_text(encoding="utf-8")
    assert "one at a time" in page and "with each supernode ablated alone" in page


def test_mistakes_in_the_new_kinds_are_told_at_their_line(root):
    text = (root / "toy.yaml").read_text().replace("sure: 0.0275", "sure: 2")
    text = text.replace("supernodes: [texas, california]", "supernodes: [texas, nevada]")
    (root / "wrong.yaml").write_text(text)
    done = python(root, "-m", "tracer", "validate", "wrong.yaml")
    assert done.returncode == 4
    told = done.stdout + done.stderr
    lines = text.splitlines()
    assert f"wrong.yaml:{lines.index('      - {sure: 2}') + 1}:" in told
    wrong = next(n for n, line in enumerate(lines, 1) if "nevada" in line)
    assert f"wrong.yaml:{wrong}:" in told and "no supernode 'nevada'" in told
