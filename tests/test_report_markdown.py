"""The summary for a pull request: what it says, and that nothing in it obeys a stranger."""

import re

from tests.records import change, make_record
from tests.test_report_render import full_verdict
from tests.verdicts import make_outcome, make_verdict
from tracer.report.markdown import escape, markdown

EVIL = "<script>x</script> ](javascript:alert(1)) ![i](//e) `c` | @all #1 **b** {{ 7*7 }} $x$\n# h"


def test_it_tells_verdict_claim_failures_first_and_the_command():
    record, _ = make_record()
    text = markdown(record, full_verdict())
    lines = text.splitlines()
    assert lines[0] == "### ✖ refuted: two\\_hop"
    assert "**Claim:** Replacing the state replaces the capital." in lines
    assert "2 expectations; discovery: 1 held, 1 untested; held out: 1 failed" in lines
    table = [line for line in lines if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in table[2:]] == ["✖ failed", "? untested", "✔ held"]
    assert "- Only one discovery prompt." in lines
    assert text.rstrip().endswith("`tracer run hypotheses/two_hop.yaml`")


def test_nothing_of_a_stranger_becomes_markup():
    safe = escape(EVIL)
    assert "\n" not in safe and "<" not in safe and "@" not in safe
    for special in "[]`*|":
        assert not re.search(rf"(?<!\\){re.escape(special)}", safe), special
    assert "://" not in escape("https://example.org") and "#1" not in safe
    record, _ = make_record()
    poisoned = change(record, "file", "a`b; rm -rf x.yaml")
    verdict = make_verdict(make_outcome("x", expected=EVIL, observed=EVIL), claim=EVIL)
    text = markdown(poisoned, verdict)
    assert "<script" not in text and not re.search(r"(?<!\\)\]\(", text)
    assert "`` tracer run 'a`b; rm -rf x.yaml' ``" in text
    row = next(line for line in text.splitlines() if "held |" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 6


def test_a_long_table_is_cut_and_says_so():
    record, _ = make_record()
    outcomes = [make_outcome(f"i{n}") for n in range(40)]
    text = markdown(record, make_verdict(*outcomes))
    assert text.count("✔ held") == 30 and "…and 10 more, in the report." in text


def test_long_lists_are_cut_and_say_so():
    record, _ = make_record()
    changes = tuple(f"seed: changed {n}" for n in range(10_000))
    text = markdown(record, make_verdict(post_hoc=changes))
    assert text.count("- seed: changed") == 30 and "- …and 9,971 more, in verdict.json." not in text
    assert "- …and 9,970 more, in verdict.json." in text
