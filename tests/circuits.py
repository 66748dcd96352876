"""A record with a circuit whose scores are given, and what is judged of it."""

import numpy as np

from tests.records import clean_reading, make_record
from tracer.evidence.judge import judge_run
from tracer.record.trials import CircuitRecord, CircuitScores, CircuitTrial

NAME = "states"


def many_prompts(n):
    """Texts enough for the tests that need many prompts; all of them discovery."""
    more = {f"city{i}": {"city": f"Town {i}", "answer": " Austin"} for i in range(n)}
    return {
        "dallas": {"city": "Dallas", "answer": " Austin"},
        "oakland": {"city": "Oakland", "answer": " Sacramento"},
        **more,
    }


def recorded(*expectations, whole, circuit, empty=0.0, rest=0.0, n_random=99, **arrays):
    """A run whose circuit scored this on so many prompts; scalars hold on all of them.

    `arrays` replaces scores of random circuits and fillers: `[prompt, _]`.
    """
    whole = np.asarray(whole, dtype=float)
    n = len(whole)
    columns = [np.broadcast_to(x, n).astype(float) for x in (empty, circuit, rest)]
    names = [f"city{i}" for i in range(n)]
    spec = {
        "supernodes": ["texas"],
        "prompts": names,
        "reference": ["oakland"],
        "random": n_random,
        "expect": list(expectations),
    }
    prompts = many_prompts(n)
    ablate = {"prompts": ["dallas"], "clamp": {"texas": 0, "california": 0, "say_austin": 0}}
    hypothesis = {"prompts": prompts, "interventions": {"it": ablate}, "circuit": {NAME: spec}}
    baselines = dict.fromkeys(prompts, clean_reading("dallas"))
    baselines["oakland"] = clean_reading("oakland")
    record, saved = make_record(hypothesis=hypothesis, baselines=baselines)
    trials = {
        name: CircuitTrial(
            prompt=name,
            n_features=3,
            positions=(9, 11),
            scores=CircuitScores(whole=w, empty=e, circuit=c, rest=r),
        )
        for name, w, e, c, r in zip(names, whole, *columns, strict=True)
    }
    rng = np.random.default_rng(0)
    given = {
        "random": rng.normal(0, 0.1, (n, n_random)),
        "random_rest": whole[:, None] + rng.normal(0, 0.1, (n, n_random)),
        "without": np.zeros((n, 3)),
        "filler": columns[1][:, None] + rng.normal(0, 0.1, (n, n_random)),
        "curve": np.linspace(0, 1, 10) * whole[:, None],
    } | arrays
    found = CircuitRecord(
        n_members=3,
        n_outside=0,
        groups=("texas 1_2", "texas 3_4", "texas 5_6"),
        n_random=given["random"].shape[1],
        n_fillers=given["filler"].shape[1],
        n_items=1000,
        sizes=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
        ranked_on=("city0",),
        trials=trials,
    )
    saved |= {
        f"circuit/{NAME}/{name}/{kind}": values[i].astype(float)
        for kind, values in given.items()
        for i, name in enumerate(names)
    }
    return record.model_copy(update={"circuit": {NAME: found}}), saved


def outcome_of(*expectations, bend=lambda record: record, **scores):
    """The one outcome of the one expectation."""
    record, arrays = recorded(*expectations, **scores)
    (outcome,) = judge_run(bend(record), arrays).outcomes
    return outcome
