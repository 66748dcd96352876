"""Build the wheel of the transcoders of gemma-3-270m: train, write as int8, evaluate, pack.

    python packages/gemma-3-270m-transcoders/build.py
    python packages/gemma-3-270m-transcoders/build.py --trained FOLDER

Training goes on from its last checkpoint where it was stopped. Everything but the wheel, which goes
to `dist/`, is left in `build/`; neither is part of the repository.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WORK = HERE / "build"
DIST = HERE / "dist"
NAME = "gemma-3-270m-transcoders"
MODULE = "tracer_gemma_3_270m_transcoders"
MODEL = "gemma-3-270m"
TOKENS = "250000"


def main() -> None:
    """Make the wheel and print its path."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trained", type=Path, help="a folder that `tracer train` wrote")
    trained = parser.parse_args().trained or _train(WORK / "trained")
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        project = Path(scratch)
        features = project / MODULE
        _tracer("features", "compact", str(trained), "--out", str(features))
        _evaluate(features, project / "reports")
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(HERE / name, project)
        _python("-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(DIST), str(project))
    print(*sorted(DIST.glob("*.whl")), sep="\n")


def _train(folder: Path) -> Path:
    options = ("--text", "wikipedia", "--tokens", TOKENS, "--out", str(folder))
    _tracer("train", MODEL, *options)
    return folder


def _evaluate(features: Path, reports: Path) -> None:
    """Put `evaluation.json` beside the weights: on text that training leaves out."""
    options = ("--model", MODEL, "--tokens", "6000", "--replaced", "384", "--out", str(reports))
    _tracer("features", "evaluate", str(features), *options)
    [written] = reports.glob("evaluations/*/evaluation.json")
    evaluation = json.loads(written.read_text(encoding="utf-8"))
    [basis] = evaluation["bases"]
    basis["basis"] = basis["dictionary"]["source"] = NAME  # not a folder that is gone by then
    text = json.dumps(evaluation, indent=1, ensure_ascii=False) + "\n"
    (features / written.name).write_text(text, encoding="utf-8")


def _tracer(*arguments: str) -> None:
    _python("-m", "tracer", *arguments)


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True)


if __name__ == "__main__":
    main()
