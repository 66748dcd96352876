"""Runs held against each other: what is told, what is worse, and what is only matched."""

import math

import pytest
from records import change, make_reading, make_record

from tracer.errors import UsageError
from tracer.evidence.baseline_run import (
    KeptOutcome,
    Tolerances,
    bless,
    essentials,
    home,
    in_folder,
    read_baseline,
)
from tracer.evidence.judge import judge_run
from tracer.evidence.matching import paired
from tracer.evidence.regression import compare

SWAP = "texas_to_california"


def kept(record=None, arrays=None, **bent):
    if record is None:
        record, arrays = make_record(**bent)
    assert arrays is not None
    return essentials(record, judge_run(record, arrays))


@pytest.fixture(scope="module")
def old():
    return kept()


def told(comparison, kind):
    return [str(f) for f in comparison.findings if f.kind == kind]


def test_a_run_is_the_same_as_itself(old):
    comparison = compare(old, old)
    assert (comparison.is_same, bool(comparison)) == (True, True)
    assert comparison.summary == "the same came out"


def test_an_effect_is_the_change_of_the_log_probability(old):
    assert old.effects[SWAP]["dallas"][" Sacramento"] == pytest.approx(
        math.log(0.44 / 0.08), abs=1e-4
    )


def test_other_weights_are_named_with_what_came_of_them(old):
    record, arrays = make_record(
        clamped={(SWAP, "dallas"): make_reading(Austin=0.5, Sacramento=0.1)}
    )
    record = change(record, "model.fingerprint", "f" * 64)
    comparison = compare(old, kept(record, arrays))
    assert not comparison
    assert comparison.changed == (
        f"the model's weights changed ({old.model.fingerprint[:8]}… → ffffffff…)",
    )
    assert "verdict: consistent → refuted" in told(comparison, "verdict")
    assert (
        f"{SWAP}: top token ' Sacramento' [discovery]: held → failed (dallas: held → failed)"
        in told(comparison, "outcome")
    )
    assert comparison.summary.startswith("the model's weights changed")
    assert "and with it: verdict: consistent → refuted" in comparison.summary
    [effect] = [f for f in comparison.findings if "effect on ' Sacramento'" in f.what]
    assert effect.where == "dallas, most of 1 of 4"


def test_what_got_better_is_told_and_is_no_regression(old):
    worse = kept(clamped={(SWAP, "dallas"): make_reading(Austin=0.5, Sacramento=0.1)})
    comparison = compare(worse, old, Tolerances(effect=100))
    assert not comparison.is_same
    assert comparison
    assert "verdict: refuted → consistent" in told(comparison, "verdict")


def test_members_are_compared_as_sets_and_their_overlap_decides(old):
    record, arrays = make_record()
    features = record.supernodes["texas"].features
    gone = change(record, "supernodes.texas.features", features[:-4])
    comparison = compare(old, kept(gone, arrays))
    assert told(comparison, "supernode") == [
        "members of texas: 40 features → 36 features (36 in common, overlap 0.90)"
    ]
    assert comparison
    assert not compare(old, kept(gone, arrays), Tolerances(overlap=0.95))
    turned = change(record, "supernodes.texas.features", features[::-1])
    assert compare(old, kept(turned, arrays)).is_same


def test_a_supernode_that_one_file_leaves_out_is_not_one_of_no_features(old):
    rest = {name: each for name, each in old.supernodes.items() if name != "texas"}
    without = old.model_copy(update={"supernodes": rest})
    gone, new = compare(old, without), compare(without, old)
    assert told(gone, "supernode") == ["members of texas: 40 features → not there any more"]
    assert told(new, "supernode") == ["members of texas: not there → 40 features"]
    assert not gone and new


def test_an_effect_may_move_within_the_larger_tolerance(old):
    now = kept(clamped={(SWAP, "dallas"): make_reading(Austin=0.2, Sacramento=0.36)})
    assert math.log(0.44 / 0.36) < 0.25
    assert not told(compare(old, now, Tolerances(effect=10)), "effect")
    assert told(compare(old, now, Tolerances(effect=0.1, share=0)), "effect")
    assert not [t for t in told(compare(old, now), "effect") if "Sacramento" in t]


def test_a_threshold_is_a_cause_and_its_expectation_the_same(old):
    record, arrays = make_record()
    spec = record.hypothesis.interventions[SWAP]
    looser = [
        e.model_copy(update={"above": 0.5}) if getattr(e, "above", None) else e for e in spec.expect
    ]
    record = change(record, f"hypothesis.interventions.{SWAP}.expect", tuple(looser[::-1]))
    comparison = compare(old, kept(record, arrays))
    assert comparison.is_same
    where = f"interventions.{SWAP}.expect"
    assert [c[: len(where)] for c in comparison.changed] == [where, where]
    assert "'above': 1.0" in comparison.changed[0]
    assert "without" in comparison.changed[0]
    assert "'above': 0.5" in comparison.changed[1]


def test_an_expectation_that_is_asked_no_more_is_a_regression(old):
    record, arrays = make_record()
    spec = record.hypothesis.interventions[SWAP]
    record = change(record, f"hypothesis.interventions.{SWAP}.expect", spec.expect[1:])
    comparison = compare(old, kept(record, arrays))
    assert told(comparison, "outcome") == [
        f"{SWAP}: top token ' Sacramento' [{split}]: held → not asked"
        for split in ("discovery", "held out")
    ]
    assert not comparison


def test_device_dtype_dictionary_prompts_and_version_are_named(old):
    record, arrays = make_record()
    for path, value in (
        ("model.dtype", "bfloat16"),
        ("model.device", "cuda"),
        ("model.revision", "r2"),
        ("environment.tracer", "0.2.0"),
        ("prompts.plano.token_ids", (1, 2, 3)),
        ("basis", "gemma"),
    ):
        record = change(record, path, value)
    changed = compare(old, kept(record, arrays)).changed
    assert [c.split(" changed")[0] for c in changed] == [
        "the model's revision",
        "the model's dtype",
        "the model's device",
        "the feature basis",
        "the same text is other tokens now (plano)",
        "tracer's version",
    ]


def make_kept(expected, outcome="held"):
    return KeptOutcome(
        intervention="swap", split="discovery", expectation="logit", expected=expected,
        observed="", outcome=outcome, prompts={},
    )  # fmt: skip


def test_expectations_are_matched_by_what_they_say():
    above, controls = make_kept("> 1.00 on 2 of 2 prompts"), make_kept("above controls, p ≤ 0.01")
    higher = make_kept("> 2.00 on 1 of 1 prompt")
    pairs = list(paired([above, controls], [controls, higher]))
    assert [(p.old, p.new) for p in pairs] == [(controls, controls), (above, higher)]
    between = [make_kept("> 2.00"), make_kept("> 3.00")]
    assert [p.old for p in paired([above], between)] == [None, None, above]
    assert all(p.old and p.new for p in paired([above, above], [above, above]))


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("' Cu' on 1 of 1 prompt", "not ' Fe' on 1 of 1 prompt", False),
        ("' Cu'", "' Fe'", False),
        ("' 1945'", "' 1946'", False),
        ('"\'1945"', '"\'1946"', False),
        ("says ' 19' in 50 % of the samples", "says ' 19' in 80 % of the samples", True),
        ("> 1.00", "< 1.00", False),
        ("> 1.00", "> \u22120.50", True),
        ("> 1.00", "above controls, p ≤ 0.01", False),
    ],
)
def test_another_test_or_token_is_another_expectation(before, after, is_same):
    pairs = list(paired([make_kept(before, "failed")], [make_kept(after)]))
    assert len(pairs) == (1 if is_same else 2)
    assert [pair.name for pair in pairs if pair.new is None] == (
        [] if is_same else [f"swap: logit {before.removesuffix(' on 1 of 1 prompt')} [discovery]"]
    )


def test_a_replaced_expectation_is_left_out_and_added(old):
    cu = make_kept("' Cu'", "failed")
    run = old.model_copy(update={"outcomes": (cu,)})
    other = run.model_copy(update={"outcomes": (make_kept("not ' Fe'"),)})
    assert [(f.what, f.before, f.after) for f in compare(run, other).findings] == [
        ("swap: logit ' Cu' [discovery]", "failed", "not asked"),
        ("swap: logit not ' Fe' [discovery]", "not asked", "held"),
    ]


def test_a_baseline_comes_back_as_it_was_blessed_and_small(tmp_path, old):
    path = bless(old, in_folder(tmp_path / "baselines", old.hypothesis))
    assert path == tmp_path / "baselines" / "two_hop.json"
    assert read_baseline(path) == old
    assert path.stat().st_size < 15_000
    assert [p.name for p in path.parent.iterdir()] == ["two_hop.json"]


def test_baselines_lie_beside_the_hypothesis(tmp_path):
    (tmp_path / "a.yaml").touch()
    assert home(str(tmp_path / "a.yaml")) == tmp_path / "baselines"
    assert home("<python>").as_posix() == "hypotheses/baselines"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "there is no baseline here; `tracer bless RUN` makes one"),
        ("{", "not JSON"),
        ("[]", "not written by tracer"),
        ('{"schema": "tracer.baseline/2"}', "written by a newer tracer"),
        ('{"schema": "tracer.baseline/1", "run": 3}', "not what tracer.baseline/1 says"),
    ],
)
def test_what_is_no_baseline_is_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        read_baseline(path)
