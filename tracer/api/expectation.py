"""Expectations that are written in Python, for what no key of a file says."""

from __future__ import annotations

from collections.abc import Callable

from tracer.hypothesis.expectations.python import define
from tracer.record.prompt_trial import PromptTrial


def expectation(function: Callable[[PromptTrial], bool]) -> Callable[[PromptTrial], bool]:
    """Let files name a function that says, of each prompt, whether what was expected holds.

    A file names it as an expectation of an intervention, `{python: NAME}`, with the tokens that it
    `reads`. It is given a `tracer.record.prompt_trial.PromptTrial` for each prompt, and another one
    as if nothing had been clamped: what holds there as well is vacuous. Its answers, its text and
    the SHA-256 of that are recorded, so that the run is judged again without it. What it raises
    makes the prompt untested. A verdict that rests on such a function is *consistent* at best, and
    says so: nobody but the function's author says what it compares.

    Raises:
        UsageError: Its source cannot be read, or it has no name.

    Example:
        >>> @tracer.expectation
        ... def less_sure(trial):
        ...     return trial.clamped.top[0].probability < trial.clean.top[0].probability
        >>> run = tracer.run("tiny.yaml", set=["interventions.swap.expect=[{python: less_sure}]"])
        >>> outcome = run.verdict.outcomes[0]
        >>> outcome.expectation, outcome.expected
        ('Python less_sure(…)', 'True on 1 of 1 prompt')
    """
    define(function)
    return function
