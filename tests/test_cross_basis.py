"""One hypothesis in several feature bases: which verdicts go together, and numbers by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.command import call, use_engine, write_file
from tests.records import change, make_graph_record, make_reading, make_record
from tracer.errors import EngineError
from tracer.evidence.cross_basis import InBasis, across_bases
from tracer.evidence.judge import judge_run
from tracer.record.cross_basis import FILE, CrossBasis
from tracer.record.trials import FeatureTokens
from tracer.report.sections.bases import across_view, effects_words

WEAK = {
    ("texas_to_california", "dallas"): make_reading(Austin=0.5, Sacramento=0.1),
    ("texas_to_california", "plano"): make_reading(Austin=0.2, Sacramento=0.07),
}


def in_basis(features="neurons", word=None, clamped=None, promotes=(), of="texas"):
    """A judged run whose verdict may be another word, and whose graph tells of a supernode."""
    record, arrays = make_record(clamped=clamped)
    verdict = judge_run(record, arrays)
    if word is not None:
        verdict = verdict.model_copy(update={"verdict": word})
    refs = record.supernodes[of].features
    said = {
        f"{ref.layer}_{ref.index}_5": FeatureTokens(promotes=tokens, suppresses=())
        for ref, tokens in zip(refs, promotes, strict=False)
    }
    said["0_0_5"] = FeatureTokens(promotes=(" of no member",), suppresses=())
    record = change(record, "graphs", {"dallas": make_graph_record(features=said)})
    return InBasis(features, record, verdict, "")


@pytest.mark.parametrize(
    ("words", "survival", "told"),
    [
        (("confirmed", "confirmed"), "survives", "survives the change of basis: confirmed in a, b"),
        (("refuted", "refuted"), "survives", "survives the change of basis: refuted in a, b"),
        (("confirmed", "consistent"), "weaker", "confirmed in a; consistent in b"),
        (("confirmed", "refuted"), "does not survive", "confirmed in a; refuted in b"),
        (("refuted", "consistent", "inconclusive"), "does not survive", "inconclusive in c"),
        (("confirmed", "inconclusive"), "open", "is open: confirmed in a; inconclusive in b"),
        (("confirmed", None), "open", "is open: confirmed in a; not run in b"),
    ],
)
def test_which_verdicts_survive(words, survival, told):
    bases = [
        in_basis(name, word) if word else InBasis(name, None, None, "no such folder")
        for name, word in zip("abc", words, strict=False)
    ]
    found = across_bases("two_hop", "m", bases)
    assert (found.survival, told in found.sentence) == (survival, True), found.sentence
    if set(words) == {"refuted"}:  # the record's expectations hold: others must have failed
        assert found.sentence.endswith(", but no expectation failed in all of them")


def test_one_word_for_different_outcomes_is_told():
    refuting = {("texas_to_california", "dallas"): make_reading(Austin=0.5, Sacramento=0.1)}
    bases = [in_basis("a", "refuted"), in_basis("b", "refuted", clamped=refuting)]
    found = across_bases("two_hop", "m", bases)
    n = sum(one != other for one, other in (each.outcomes for each in found.outcomes))
    assert n > 0 and found.survival == "survives"
    told = f"; {n} of {len(found.outcomes)} expectations came out otherwise"
    assert found.sentence.endswith(told), found.sentence


def test_effects_agree_as_numpy_says():
    first, other = in_basis(), in_basis("set", clamped=WEAK)
    found = across_bases("two_hop", "m", [first, other])
    pairs = []
    for name, made in first.record.interventions.items():
        for prompt, trial in made.trials.items():
            there = other.record.interventions[name].trials[prompt].reading.tokens
            clean = first.record.prompts[prompt].baseline.tokens
            for token, reading in trial.reading.tokens.items():
                if token in clean and token in there:
                    before = np.log(clean[token].probability)
                    pairs.append([np.log(x.probability) - before for x in (reading, there[token])])
    a, b = np.array(pairs).T
    [effects] = found.effects
    assert effects.n == len(pairs) > 8
    assert effects.correlation == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-3)
    large = np.maximum(abs(a), abs(b)) >= 0.1
    assert effects.n_large == large.sum()
    assert effects.n_same_sign == (np.sign(a) == np.sign(b))[large].sum() < effects.n_large
    assert f"r {effects.correlation:.2f} over {effects.n} effects" in effects_words(effects)
    changed = [each for each in found.outcomes if len(set(each.outcomes)) > 1]
    assert found.n_same == len(found.outcomes) - len(changed) and changed
    assert all(each.outcomes[0] == "held" for each in found.outcomes)


def test_supernodes_are_compared_by_what_their_members_promote():
    first = in_basis(promotes=[(" Texas", "\ufffd", " Dallas"), (" Dallas",)])
    other = in_basis("set", promotes=[(" Dallas", " oil")])
    found = across_bases("two_hop", "m", [first, other, InBasis("c", None, None, "no")])
    texas, california = found.supernodes[:2]
    assert texas.tokens[:2] == ((" Dallas", " Texas"), (" Dallas", " oil"))
    assert texas.n_members == (40, 40, None) and texas.shared == ()  # one basis has none
    pair = across_bases("two_hop", "m", [first, other])
    assert pair.supernodes[0].shared == (" Dallas",)
    assert california.tokens[0] == ()
    view = across_view(pair)
    assert view.supernodes[0] == (
        "texas",
        (("40 members", "' Dallas', ' Texas'"), ("40 members", "' Dallas', ' oil'")),
        "' Dallas'",
    )
    assert CrossBasis.model_validate_json(pair.model_dump_json(by_alias=True)) == pair


def test_the_page_and_every_report_show_it(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write_file(Path("hypotheses/two_hop.yaml"))
    engine = use_engine(monkeypatch)
    bases = ("--features", "neurons", "--features", "me/<set>")
    result = call(capfd, "run", *bases, "-q", "--json", "v.json")
    assert "the verdict survives the change of basis" in " ".join(result.out.split())
    assert "effects in me/<set> and neurons: r 1.00 over" in " ".join(result.out.split())
    page = Path("reports/matrix-two_hop.html").read_text()
    assert "does it hold in another basis?" in page and "me/&lt;set&gt;" in page
    folders = [Path(each["run"]) for each in json.loads(Path("v.json").read_text())["results"]]
    for folder in folders:
        assert "Does it hold in another basis?" in (folder / "report.html").read_text()
    call(capfd, "report", str(folders[0]))
    assert "Does it hold in another basis?" in (folders[0] / "report.html").read_text()
    one = json.loads((folders[0] / FILE).read_text())
    (folders[1] / FILE).write_text(json.dumps(one | {"bases": one["bases"][:1]}))
    call(capfd, "report", str(folders[1]))
    assert "another basis?" not in (folders[1] / "report.html").read_text()  # of another run
    (folders[1] / FILE).write_text("{}")
    result = call(capfd, "report", str(folders[1]))
    assert (result.code, "bases.json: not written by tracer" in result.err) == (4, True)
    engine.raises = {"two_hop": EngineError("layer 30 is out of range")}
    Path("reports/matrix-two_hop.html").unlink()
    result = call(capfd, "run", *bases, "--seed", "7", "-q")
    assert "survives" not in result.out  # nothing was run
