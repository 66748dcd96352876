from __future__ import annotations

from pathlib import Path

from declared import DIFF, SWAP, TEXAS, changed, mistakes


def test_a_mistake_is_told_once_although_many_parts_meet_it(tmp_path: Path):
    [mistake] = mistakes(tmp_path, changed((TEXAS, TEXAS.replace("city", "cty"))))
    assert mistake.where == "supernodes.texas.select.at"
    found = mistakes(tmp_path, changed((DIFF, DIFF.replace("{answer}", "{anwser}"))))
    assert len(found) == 1
    assert found[0].message.startswith("on prompts 'dallas', 'plano': the variable {anwser} has")


def test_a_broken_part_hides_only_what_may_be_broken(tmp_path: Path):
    found = mistakes(tmp_path, changed((TEXAS, TEXAS.replace("select", "slect"))))
    assert [m.where for m in found] == ["supernodes.texas.slect"]
    found = mistakes(tmp_path, changed((SWAP, SWAP.replace("clamp", "clmp"))))
    assert [m.where for m in found] == ["interventions.swap.clmp"]
