"""How large an effect is on average, and how well that is known.

The 95 % percentile bootstrap of the mean of the tested number draws whole groups, because prompts
of one template are not independent of each other (`tracer.evidence.resampling`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache, partial

from tracer.evidence.conclusion import Judged
from tracer.evidence.resampling import bootstrap_interval
from tracer.evidence.wording import counted
from tracer.hypothesis.held_out import group_of
from tracer.hypothesis.spec import Hypothesis
from tracer.record.verdict import Mean


def with_means(judged: Iterable[Judged], hypothesis: Hypothesis) -> list[Judged]:
    """The same outcomes, each with its mean where its prompts give one."""
    group = cache(partial(group_of, hypothesis))
    return [
        one._replace(
            outcome=one.outcome.model_copy(update={"mean": _mean_of(one, hypothesis, group)})
        )
        for one in judged
    ]


def _mean_of(judged: Judged, hypothesis: Hypothesis, group: Callable[[str], str]) -> Mean | None:
    """The mean of the tested number with its interval.

    None where fewer than two groups have a number, where one is not finite, and where all are the
    same, since then the interval would have no width and say nothing.
    """
    found = {
        one.prompt: one.value
        for one in judged.outcome.prompts
        if one.value is not None and one.prompt in hypothesis.prompts
    }
    values = list(found.values())
    groups = [group(prompt) for prompt in found]
    n, n_groups = len(values), len(set(groups))
    if n_groups < 2 or not all(map(math.isfinite, values)) or len(set(values)) == 1:
        return None
    low, high = bootstrap_interval(values, groups, hypothesis.seed)
    show, mean = judged.wording.show, math.fsum(values) / n
    by, of = ("", "") if n_groups == n else (" by group", f" in {counted(n_groups, 'group')}")
    return Mean(
        value=mean,
        low=low,
        high=high,
        n_prompts=n,
        n_groups=n_groups,
        text=f"mean {show(mean)}, 95 % bootstrap interval{by} {show(low)} to {show(high)} "
        f"({counted(n, 'prompt')}{of})",
    )
