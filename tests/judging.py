"""A record judged for what one intervention expects."""

from tests.records import DOSED, change, make_record
from tracer.evidence.judge import judge_run

SWAP = "texas_to_california"
HELD_OUT = ("plano", "el_paso", "lubbock")
DIFF = [" Sacramento", " Austin"]


def expecting(*expectations, prompts=("dallas",), doses=None, **top):
    """The file with one intervention, which expects this."""
    spec = {"prompts": list(prompts), "clamp": {"texas": 0, "california": 1}}
    spec["expect"] = list(expectations)
    if doses is not None:
        spec["doses"] = {"of": "california", "factors": list(DOSED), "expect": list(doses)}
    return {"interventions": {SWAP: spec}, **top}


def judged(*expectations, n_controls=99, bend=None, clamped=None, baselines=None, **keys):
    """The outcomes of one intervention that expects this."""
    record, arrays = make_record(
        hypothesis=expecting(*expectations, **keys),
        n_controls=n_controls,
        clamped=clamped,
        baselines=baselines,
    )
    for path, value in (bend or {}).items():
        record = change(record, path, value)
    return judge_run(record, arrays)


def only(verdict):
    (outcome,) = verdict.outcomes
    return outcome
