"""The false discovery rate over hypotheses that are run together."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from tests.records import make_record
from tests.verdicts import make_outcome, make_verdict
from tracer.cli import json_output
from tracer.cli.family import family_lines, judged_together, require_family
from tracer.cli.json_output import FileResult
from tracer.cli.pages import is_page, write_index_of_all
from tracer.errors import EXIT_CONSISTENT, EXIT_NOT_CONFIRMED, EXIT_OK, UsageError
from tracer.evidence.family import family_of
from tracer.evidence.statistics import benjamini_yekutieli
from tracer.record.family import FAMILY, read_family, write_family
from tracer.report.index import IndexEntry, render_index


def upheld(name: str, *ps: float, least: float = 0.001, **more: object):
    tests = [make_outcome(f"t{n}", p=p, p_adjusted=p, least_p=least) for n, p in enumerate(ps)]
    return make_verdict(*tests, make_outcome("no test"), hypothesis=name, run=f"{name}/1", **more)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_adjusted_as_statsmodels_does(n: int):
    ps = np.random.default_rng(n).random(n) ** 3
    wanted = multipletests(ps, method="fdr_by")[1]
    np.testing.assert_allclose(benjamini_yekutieli(ps.tolist()), wanted, rtol=1e-12)


def test_the_rate_holds_among_dependent_tests():
    """Half of the nulls are true and share one draw: the share of false discoveries stays low."""
    rng, shares = np.random.default_rng(0), []
    for _ in range(2000):
        shared = rng.random()
        ps = [shared] * 10 + (rng.random(10) * 1e-3).tolist()
        found = [q <= 0.2 for q in benjamini_yekutieli(ps)]
        shares.append(sum(found[:10]) / max(sum(found), 1))
    assert np.mean(shares) <= 0.2


def test_a_hypothesis_stands_on_its_largest_p():
    family = family_of(
        [upheld("one", 0.001, 0.004), upheld("two", 0.02), upheld("three", 0.9)], 0.05
    )
    assert [member.p for member in family.members] == [0.004, 0.02, 0.9]
    c = 1 + 1 / 2 + 1 / 3
    wanted = [0.004 * 3 * c, 0.02 * 3 * c / 2, min(1.0, 0.9 * 3 * c / 3)]
    assert [member.q for member in family.members] == pytest.approx(wanted)
    assert [member.discovery for member in family.members] == [True, False, False]


def test_what_was_not_upheld_counts_and_what_has_no_p_does_not():
    verdicts = [
        upheld("one", 0.001),
        upheld("failed", 0.001, verdict="refuted"),
        upheld("open", verdict="inconclusive"),
        upheld("untested"),
        upheld("broken", verdict="error"),
    ]
    family = family_of(verdicts, 0.05)
    assert family.size == 3
    assert [member.p for member in family.members] == [0.001, None, None, None, None]
    reasons = [member.reason for member in family.members]
    assert reasons == [None, None, None, "none of its tests gives a p", "it came to no verdict"]
    assert family.members[0].q == pytest.approx(0.001 * 3 * (1 + 1 / 2 + 1 / 3))
    assert family.members[1].q == 1


def test_controls_that_cannot_reach_the_rate_are_told():
    """11 of them at p 0.01 are discoveries, as 0.05 / c(11) = 0.0166; with p 0.02 none can be."""
    many = family_of([upheld(f"h{n}", 0.01, least=0.01) for n in range(11)], 0.05)
    assert many.n_discoveries == 11 and all(member.reachable for member in many.members)
    few = family_of([upheld(f"h{n}", 0.02, least=0.02) for n in range(11)], 0.05)
    assert few.n_discoveries == 0 and not any(member.reachable for member in few.members)


def results_of(*verdicts, codes=(EXIT_OK, EXIT_CONSISTENT, EXIT_OK, EXIT_OK)):
    return [
        FileResult(f"{each.hypothesis}.yaml", each.hypothesis, code, verdict=each)
        for each, code in zip(verdicts, codes, strict=False)
    ]


def test_no_discovery_is_not_as_expected(tmp_path: Path):
    verdicts = [
        upheld("one", 0.001),
        upheld("two", 0.04, verdict="consistent"),
        upheld("refuted", 0.5, verdict="refuted", expected="refuted"),
        upheld("words"),
    ]
    results, family = judged_together(results_of(*verdicts), 0.05, tmp_path)
    assert family is not None and read_family(tmp_path) == family
    before = results_of(*verdicts)
    assert judged_together(before, None, tmp_path / "nowhere") == (before, None)
    codes = [result.code for result in results]
    assert codes == [EXIT_OK, EXIT_NOT_CONFIRMED, EXIT_OK, EXIT_OK]
    assert list(family_lines(family)) == [
        "false discovery rate 0.05 (Benjamini and Yekutieli): 1 of 3 hypotheses are discoveries",
        "  two: consistent, but no discovery: p 0.04, adjusted 0.11",
        "  words: confirmed, not in the family: none of its tests gives a p",
    ]
    said = json.loads(json_output.verdicts(results, 1, family).written())["family"]
    assert (said["schema"], said["rate"]) == ("tracer.family/1", 0.05)
    assert "family" not in json.loads(json_output.verdicts(results, 1).written())


def test_the_index_says_it_of_each_run(tmp_path: Path):
    record, _ = make_record()
    verdict = upheld("two_hop", 0.02, 0.01).model_copy(update={"run": record.id})
    family = family_of([verdict, upheld("other", 0.5)], 0.05)
    write_family(tmp_path, family)
    assert is_page(FAMILY) and read_family(tmp_path) == family
    page = render_index([IndexEntry(record, verdict, None)], family)
    words = unescape(re.sub("<[^>]+>", " ", page))
    assert "Of 2 hypotheses that were run together, 0 are discoveries at a false discovery" in words
    assert "no discovery: p 0.02, adjusted 0.06" in words
    other = verdict.model_copy(update={"verdict": "refuted"})
    page = unescape(render_index([IndexEntry(record, other, None)], family))
    assert "confirmed when it was run with others, judged again since" in page
    (tmp_path / FAMILY).write_text("{")
    assert "family.json: cut short" in unescape(write_index_of_all(tmp_path).read_text())


def test_a_part_of_a_family_is_no_family():
    whole = {"shard": False, "failed": False, "exitfirst": False}
    require_family(0.05, **whole)
    require_family(None, **dict.fromkeys(whole, True))
    with pytest.raises(
        UsageError, match="--fdr with '--shard', '--failed': the rate is controlled"
    ):
        require_family(0.05, **whole | {"shard": True, "failed": True})
    for rate in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="a rate is above 0 and below 1"):
            require_family(rate, **whole)
