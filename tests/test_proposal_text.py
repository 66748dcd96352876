"""The text of a proposed file: whatever tokens and labels hold, it reads back to its claims."""

from __future__ import annotations

from dataclasses import replace

from tracer.evidence.proposed import Rehearsal, claims, supernodes, thresholds
from tracer.hypothesis.yaml_text import parse
from tracer.record.proposal import Discovery, FeatureGroup, ProposedPrompt, TriedSets
from tracer.report.proposal import claim_text, proposed_text

LABELS = ("Texas\nexpected: refuted", "'Cali: #fornia' \x1b[31m\u202e")
TOKENS = (" Austin\n# x", " {Sacramento}")


def discovered() -> Discovery:
    """Two concepts with four prompts each, two of each for discovery."""
    fates = ("discovery", "discovery", "held out", "held out")
    answers = {"one": TOKENS[0], "two": TOKENS[1]}
    prompts = [
        ProposedPrompt(f"{concept}_{n}", concept, answers[concept], answers[concept], fate, None)
        for concept in answers
        for n, fate in enumerate(fates)
    ]
    prompts.append(ProposedPrompt("bad", "one", TOKENS[0], "\n- x: 1", "dropped", "it is\nwrong"))
    tried = TriedSets(
        at="city",
        layers=(0, 1),
        top=3,
        n_right=3,
        n_swaps=4,
        effects={("one", "two"): (2.0, 4.0), ("two", "one"): (1.0, 3.0)},
        overlap={"one": 0.5},
    )
    return Discovery(
        prompts=tuple(prompts),
        answers=answers,
        labels=dict(zip(answers, LABELS, strict=True)),
        left_out={},
        groups=(FeatureGroup("city", "one", ((0, 1),), 0.2, 0.9, ("\n! ", "' '")),),
        influence_at={"city": 0.2},
        tried=(tried,),
        chosen=tried,
        removed={"one": {"zero": (-3.0, -2.0)}, "two": {"zero": (-0.5, 1.0)}},
        promotes={"one": ("\r\n", "a b"), "two": ("#", "]")},
    )


def test_whatever_it_holds_it_reads_back():
    found = discovered()
    wanted = thresholds(found)
    rehearsal = Rehearsal(frozenset(), ("one_to_two, '\n' failed:\n  evil: true",))
    prompts = {
        p.name: {"text": f"{{{{{n}}}}} \n: - #", "answer": p.answer.replace("{", "{{")}
        | ({"held_out": True} if p.fate == "held out" else {})
        for n, p in enumerate(found.prompts)
        if p.fate != "dropped"
    }
    declared = {
        "hypothesis": "hostile",
        "claim": claim_text(found, "state\n# by"),
        "tags": ["proposed"],
        "model": "gemma-3-270m",
        "features": "neurons",
        "seed": 0,
        "prompts": prompts,
        "supernodes": supernodes(found),
        **claims(found, wanted, "held out", rehearsal),
    }
    text = proposed_text(declared, found, wanted, rehearsal)
    assert parse(text).data == declared
    assert "\x1b" not in text
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert not any("\u202e" in line for line in comments)
    assert max(map(len, comments)) <= 100


def test_thresholds_are_of_the_discovery_prompts_alone():
    found = discovered()
    wanted = thresholds(found)
    # 3 of 4: the Wilson bound is .30, so a half is asked; half of the median 3 is 1.5.
    assert (wanted.mostly, wanted.rises_by, wanted.median) == (0.5, 1.5, 3.0)
    # Half of the least loss, 2; the other concept's prompts lose half a logit, or gain.
    assert [each.falls_by for each in wanted.lost] == [1.0, None]
    all_ = claims(found, wanted, "held out")
    assert list(all_["necessity"]) == ["one_needed"]
    assert "doses" in all_["interventions"]["one_to_two"]
    failed = frozenset({("one_needed", 1), ("one_to_two", 0), ("one_to_two", 3)})
    left = claims(found, wanted, "held out", Rehearsal(failed, ()))
    assert "necessity" not in left
    [spec] = left["interventions"].values()
    assert [next(iter(each)) for each in spec["expect"]] == ["logit_diff", "logit_diff"]
    assert "doses" not in spec
    nothing = frozenset(("one_to_two", n) for n in range(4))
    assert "interventions" not in claims(found, wanted, "held out", Rehearsal(nothing, ()))


def test_random_sets_reach_what_the_correction_asks():
    found = discovered()
    wanted = thresholds(found)
    assert claims(found, wanted, "held out")["controls"] == {"random": 99}  # three tests: 59 do
    many = {f"c{n}": {"zero": (-3.0,)} for n in range(9)}
    names = {name: f" {name}" for name in many}
    effects = {(a, b): (2.0,) for a in names for b in names}
    found = replace(
        found,
        answers=names,
        labels=names,
        removed=many,
        chosen=replace(found.chosen, effects=effects),
    )
    sections = claims(found, thresholds(found), "held out")
    n_tests = len(sections["necessity"]) + 2
    assert n_tests == 11 and sections["controls"]["random"] == 11 * 20 - 1
