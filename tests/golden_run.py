"""A tiny run with every section of a file, kept in `tests/golden/`: what no refactoring changes.

`python -m tests.golden_run` measures and draws it anew, where a change is meant to be seen.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import chdir
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import Any

from tests.bench import TINY
from tests.tiny_file import write_tiny
from tests.tiny_models import save_gemma3
from tracer.engine.progress import Silent
from tracer.engine.run import measure
from tracer.hypothesis.load import read
from tracer.report.run import judge_and_save

GOLDEN = Path(__file__).parent / "golden"
RUN = GOLDEN / "run"
"""A run folder, without what is drawn from it."""
REPORT = GOLDEN / "report.html"
"""Drawn from that folder, our own styles and scripts left out."""
DIFF = [" Sacramento", " Austin"]
SECTIONS: dict[str, Any] = {
    "tags": ["golden"],
    "prompts": {
        "dallas": {"city": "Dallas"},
        "houston": {"city": "Houston", "group": "large", "answer": "the"},
        "oakland": {"city": "Oakland"},
        "miami": {"city": "Miami"},
        "plano": {"city": "Plano", "held_out": True},
        "waco": {"city": "Waco", "held_out": True},
        "en_a": {"text": "the capital of Texas"},
        "fr_a": {"text": "Texas, la capitale"},
        "en_b": {"text": "the language of California"},
        "fr_b": {"text": "California, la langue"},
        "said": {"city": "Austin", "answer": " Texas"},
        "told": {"city": "Tallahassee", "answer": " Florida"},
    },
    "supernodes": TINY["supernodes"]
    | {
        "seen": {"select": {"on": ["dallas"], "against": ["oakland"], "by": "activation", "top": 3}}
    },
    "controls": {"random": 9, "donors": ["houston", "said"]},
    "interventions": {
        "swap": {
            "prompts": ["dallas", "houston", "plano", "waco"],
            "clamp": {"texas": 0, "california": 1.5},
            "expect": [
                {"logit_diff": DIFF, "beats_controls": 0.2},
                {"logit_diff": DIFF, "undercuts_controls": 0.2, "mostly": 0.5},
                {"probability": " Sacramento", "beats_controls_across": 0.3},
                {"logit_diff": DIFF, "beats_procedure": 0.5},
                {"probability": " Austin", "falls_by": 0.0001},
                {"top": "is"},
                {"top_is_not": " Austin"},
                {"rank": " Austin", "at_most": 5},
                {"supernode": "seen", "fraction_below": 1.5},
                {"says_not": "Texas"},
            ],
            "doses": TINY["interventions"]["swap"]["doses"],
            "generate": {"tokens": 4, "temperature": 1.0, "samples": 2},
        },
        "held": {
            "prompts": ["dallas", "plano"],
            "clamp": {"texas": {"to": 1.0}, "california": {"times": -1, "from": ["here"]}},
            "freeze": "all",
            "expect": [{"logit_diff": DIFF, "rises_by": 0.001}],
        },
    },
    "necessity": {
        "needed": {
            "prompts": ["dallas", "plano"],
            "ablate": ["texas"],
            "kinds": ["zero", "mean", "resample", "inhibit"],
            "reference": ["oakland", "miami"],
            "expect": [{"logit_diff": DIFF, "rises_by": -100}],
        }
    },
    "mediation": {
        "through": {
            "prompts": ["dallas", "plano"],
            "clamp": {"texas": 40},
            "through": ["california"],
            "expect": [{"logit_diff": DIFF, "share_above": -5, "share_below": 5}],
        }
    },
    "swaps": {"states": {"concepts": {"texas": ["said"], "california": ["told"]}}},
    "circuit": {
        "both": {
            "supernodes": ["texas", "california"],
            "prompts": ["dallas", "plano"],
            "reference": ["oakland", "miami"],
            "metric": {"logit_diff": [" Austin", " Sacramento"]},
            "random": 7,
            "groups": 3,
            "expect": [{"faithfulness": {"above": -5}}],
        }
    },
    "shared": {
        "pair": {
            "translations": [["en_a", "fr_a"], ["en_b", "fr_b"]],
            "active": 0.1,
            "expect": [{"overlap": [0, 1], "above": 0.01}],
        }
    },
    "graph": {
        "prompts": ["dallas"],
        "max_features": 40,
        "check": 4,
        "expect": [{"edge": {"from": "texas", "to": "output", "above": -1}}],
    },
    "robustness": {"seeds": [1], "leave_one_out": False},
}
_OWN = re.compile(r"(<(script|style)[^>]*>)(.*?)(</\2>)", re.DOTALL)
_DROPPED = (
    "id", "seal", "started", "registration", "seconds", "cached", "environment", "fingerprint",
    "sha256", "variants",
)  # fmt: skip
"""Times, the machine, and hashes over the code and over sections that a file leaves out."""


def measured(root: Path, model: Path) -> Path:
    """The run folder of a fresh measurement in `root`; no path in it tells of this machine."""
    (root / "model").symlink_to(model)
    with chdir(root):
        file = read(str(write_tiny(Path(), "./model", **SECTIONS)))
        run = measure(file, reports=Path("reports"), progress=Silent(), keep_going=True)
        return root / judge_and_save(run).path


def without_own(page: str) -> str:
    """A page whose styles, scripts and policy hashes are named by their hash."""

    def short(found: re.Match[str]) -> str:
        return f"{found[1]}{_hash(found[3])}{found[4]}" if len(found[3]) > 2000 else found[0]

    return _OWN.sub(short, page)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """What of a `run.json` is the same each time."""
    kept = {key: value for key, value in record.items() if key not in _DROPPED}
    return {**kept, "model": {**record["model"], "source": ""}}


def _renew() -> None:
    rmtree(RUN, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = measured(root, save_gemma3(root / "saved"))
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "report.html" and path.suffix != ".lock":
                target = RUN / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes().replace(name.encode(), b""))
        REPORT.write_text(without_own((folder / "report.html").read_text().replace(name, "")))


if __name__ == "__main__":
    _renew()
