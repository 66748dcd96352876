"""What a second bench takes from a first: only what would come out the same."""

from dataclasses import replace

import pytest

import tracer.engine.reuse
from tests.test_robustness_run import BASE
from tracer.engine.clean import Wanted
from tracer.engine.progress import Silent
from tracer.engine.resolve import open_context
from tracer.engine.reuse import reused_run
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.tokens import tokenize


def opened(bench, known=None, **changes):
    file = from_hypothesis(Hypothesis.model_validate(BASE | changes))
    prompts = tokenize(file, bench.model.tokenizer, bench.model.context)
    return open_context(file, bench.model, bench.basis, prompts, None, Silent(), known=known)


def rules(**texas):
    node = BASE["supernodes"]["texas"]["select"]
    return BASE["supernodes"] | {"texas": {"select": node | texas}}


def watched(monkeypatch):
    """Prompts that are run unclamped and supernodes that are found by rule, in order."""
    seen = []
    for what in ("clean_runs", "select"):
        real = getattr(tracer.engine.reuse, what)

        def once(*args, real=real, what=what):
            seen.extend([args[0]] if what == "select" else [each.prompt.name for each in args[2]])
            return real(*args)

        monkeypatch.setattr(tracer.engine.reuse, what, once)
    return seen


@pytest.fixture
def counted(monkeypatch):
    return watched(monkeypatch)


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        ({"seed": 3}, []),
        ({"supernodes": rules(top=2)}, ["texas"]),
        ({"supernodes": rules(against=["houston"])}, ["texas"]),
        (
            {"template": "{city} has this capital:"},
            ["dallas", "oakland", "plano", "houston", "texas", "california"],
        ),
        ({"supernodes": rules(at="last")}, ["texas"]),
    ],
)
def test_only_what_changed_is_made_again(bench, counted, changes, made):
    known = opened(bench)
    counted.clear()
    reused = opened(bench, known, **changes)
    assert counted == made
    alone = opened(bench, **changes)
    assert reused.supernodes == alone.supernodes
    for name, run in alone.clean.items():
        assert (reused.clean[name].logits == run.logits).all()
        assert reused.clean[name].prompt == run.prompt


def test_a_pass_with_other_positions_is_made_again(bench):
    known = opened(bench)
    run = known.clean["dallas"]
    wanted = Wanted(run.prompt, run.positions)
    shorter = replace(run.prompt, ids=run.prompt.ids[1:])
    assert reused_run(known.clean, wanted).logits is run.logits
    assert reused_run(known.clean, wanted._replace(positions=run.positions[1:])) is None
    assert reused_run(known.clean, wanted._replace(prompt=shorter)) is None
    assert reused_run({}, wanted) is None
