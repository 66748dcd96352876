"""A specificity matrix of known numbers."""

from __future__ import annotations

from tests.records import make_record
from tracer.record.specificity import Effect, NeutralEffect, Specificity, Task


def found_with(*, name: str = "a", off_task: float = 0.5) -> Specificity:
    """Hypothesis `a` takes 4 off its own task and `off_task` off `b`'s; `b` raises its own."""
    record, _ = make_record()
    own = [(name, name, f"p{n}", "declared", change) for n, change in enumerate((-3.0, -4.0, -9.0))]
    others = [
        (name, "b", "q", "last", 0.0),
        (name, "b", "q", "aligned", off_task / 2),
        (name, "b", "q", "everywhere", -off_task),
        ("b", "b", "q", "declared", 1.0),
        ("b", name, "p0", "last", 0.25),
    ]
    return Specificity(
        started="2026-01-02T03:04:05Z",
        model=record.model,
        basis=record.basis,
        dictionary=None,
        environment=record.environment,
        tasks=tuple(_task(each) for each in (name, "b")),
        effects=tuple(
            Effect(ablated=of, task=to, prompt=prompt, placement=where, change=change)
            for of, to, prompt, where, change in (*own, *others)
        ),
        neutral_texts=("One", "Two", "Three"),
        neutral=tuple(
            NeutralEffect(ablated=of, text=n, kl=kl)
            for of in (name, "b")
            for n, kl in enumerate((0.1, 0.2, 0.3))
        ),
        apart=(),
        seconds=1.0,
    )


def _task(name: str) -> Task:
    return Task(
        name=name,
        file=f"{name}.yaml",
        sha256="0" * 64,
        supernodes=("texas",),
        n_features=4,
        lock=None,
        prompts=("p0", "p1", "p2"),
        left_out=(),
    )
