"""Two tiny hypotheses against each other: single effects by hand, the matrix from known numbers."""

import json
from types import SimpleNamespace

import pytest
import torch
import yaml

from tests.bench import ATOL, TINY, logits_by_hand, make_bench
from tests.command import call
from tests.heard import Heard
from tests.specificities import found_with
from tracer.engine.specificity import measure_specificity
from tracer.engine.specificity_subject import ablated, everywhere, placements, task_prompts
from tracer.evidence.specificity import summarise
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import Hypothesis
from tracer.record.specificity import Specificity
from tracer.report.specificity import render_specificity


def declared(**changes):
    return Hypothesis.model_validate(TINY | changes)


def off(**clamp):
    each = {"prompts": ["dallas", "plano"], "clamp": clamp, "expect": [{"top_is_not": "x"}]}
    return {"interventions": {"off": each}}


def test_what_is_clamped_to_nothing_stands_for_a_hypothesis():
    assert ablated(declared()) == ("texas",)
    assert ablated(declared(**off(texas=2.0))) == ("texas",)
    assert ablated(declared(**off(texas=-1, california={"to": 0}))) == ("texas", "california")
    assert ablated(declared(**off(texas=1, california={"add": -2}))) == ("california",)


def test_held_out_prompts_with_an_answer_are_the_task():
    prompts = {name: p | {"answer": " Austin"} for name, p in TINY["prompts"].items()}
    assert task_prompts(declared()) == ()
    assert task_prompts(declared(prompts=prompts)) == ("plano",)
    seen = {name: {k: v for k, v in p.items() if k != "held_out"} for name, p in prompts.items()}
    assert task_prompts(declared(prompts=seen)) == ("dallas", "plano")


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """Two hypotheses whose answers the model gives, one whose it does not, one elsewhere."""
    home = tmp_path_factory.mktemp("specificity")
    bench = make_bench(tiny)
    model = {"name": str(tiny), "device": "cpu"}

    cities = {name: prompt["city"] for name, prompt in TINY["prompts"].items()}

    def top(text):
        """The answer that the model gives, where it is a token that can be written down."""
        tokenizer = bench.model.tokenizer
        ids = torch.tensor(tokenizer(text)["input_ids"])
        answer = tokenizer.decode([int(bench.model.forward(ids, [])[0].argmax())])
        one = len(tokenizer(answer, add_special_tokens=False)["input_ids"]) == 1
        return {"answer": answer} if one else {}

    def write(name, template, **changes):
        prompts = {
            key: {"city": city} | top(template.replace("{city}", city))
            for key, city in cities.items()
        }
        data = TINY | {"hypothesis": name, "template": template, "prompts": prompts}
        data |= {"model": model} | changes
        (home / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))

    write("one", "the capital of {city} is")
    write("other", "in the city of {city} is the state", **off(california=0, texas=1))
    wrong = {key: {"city": city, "answer": "x"} for key, city in cities.items()}
    write("wrong", "the capital of {city} is", prompts=wrong)
    write("elsewhere", "the capital of {city} is", features="gemma-scope-transcoders")
    return home


def measured(folder, names=("one", "other", "wrong"), reports="none"):
    files = [read(str(folder / f"{name}.yaml")) for name in names]
    return measure_specificity(files, [], reports=folder / reports, progress=Heard())


def test_every_effect_is_that_of_the_clamp_done_by_hand(folder, tiny):
    found = measured(folder)
    assert [task.name for task in found.tasks] == ["one", "other"]
    assert [each.name for each in found.apart] == ["wrong"]
    assert "gives none of its answers" in found.apart[0].reason
    of, to = (opened(folder, tiny, name) for name in ("one", "other"))
    texas = [of.supernodes["texas"]]
    name = found.tasks[1].prompts[0]
    clean = to.clean[name]
    answer = clean.prompt.answer_id
    home = of.clean[found.tasks[0].prompts[0]].prompt
    for where, places in placements(texas, clean.prompt, home).items():
        logits = logits_by_hand(to, name, dict.fromkeys(places, 0.0))
        change = logits[answer] - logits.mean() - clean.logits[answer] + clean.logits.mean()
        [effect] = [
            e
            for e in found.effects
            if (e.ablated, e.task, e.prompt, e.placement) == ("one", "other", name, where)
        ]
        assert effect.change == pytest.approx(float(change), abs=ATOL), where


def opened(folder, tiny, name):
    hypothesis = read(str(folder / f"{name}.yaml")).hypothesis
    data = hypothesis.model_dump(by_alias=True, exclude_none=True)
    return make_bench(tiny, hypothesis=data)


def test_kl_on_neutral_text_is_torchs(folder, tiny):
    found = measured(folder)
    assert len(found.neutral) == 2 * len(found.neutral_texts)
    bench = opened(folder, tiny, "one")
    ids = bench.model.tokenizer(found.neutral_texts[0])["input_ids"]
    texts = {"text": SimpleNamespace(ids=torch.tensor(ids))}
    places = everywhere([bench.supernodes["texas"]], len(ids))
    by_hand = SimpleNamespace(model=bench.model, clean=texts)
    before = logits_by_hand(by_hand, "text", {}).double().log_softmax(-1)
    after = logits_by_hand(by_hand, "text", dict.fromkeys(places, 0.0)).double().log_softmax(-1)
    kl = torch.nn.functional.kl_div(after, before, log_target=True, reduction="sum")
    [effect] = [e for e in found.neutral if (e.ablated, e.text) == ("one", 0)]
    assert effect.kl == pytest.approx(float(kl), abs=ATOL)


def test_features_are_aligned_from_the_end(bench):
    texas = bench.supernodes["texas"]
    prompt, home = bench.clean["dallas"].prompt, bench.clean["plano"].prompt
    found = placements([texas], prompt, home)
    assert list(found) == ["declared", "aligned", "everywhere"]
    from_end = len(home.ids) - home.spans["city"][1] + 1
    assert {pos for _, pos, _ in found["aligned"]} == {len(prompt.ids) - from_end}
    elsewhere = texas.model_copy(update={"at": "country"})
    assert list(placements([elsewhere], prompt, prompt))[0] == "last"
    assert {pos for _, pos, _ in placements([elsewhere], prompt, prompt)["last"]} == {
        len(prompt.ids) - 1
    }
    features = {(ref.layer, ref.index) for ref in texas.features}
    assert len(found["everywhere"]) == len(features) * (len(prompt.ids) - 1)
    assert min(pos for _, pos, _ in found["everywhere"]) == 1


def test_the_matrix_and_its_selectivities():
    first, second = summarise(found_with())
    assert first.cells["a"].change == -4.0 and first.cells["a"].n_prompts == 3
    assert first.cells["b"].change == -0.5 and first.cells["b"].size == 0.5
    assert first.selectivity == 8.0
    assert (first.kl_median, first.kl_max) == (0.2, 0.3)
    assert second.selectivity is None
    assert second.problem == "ablating it does not lower the answers of its own task"


def test_no_effect_at_all_elsewhere_is_no_infinite_selectivity():
    first, _ = summarise(found_with(off_task=0.0))
    assert first.selectivity is None and "nothing to divide by" in first.problem


def test_the_page_escapes_and_is_the_same_twice():
    found = found_with(name="<script>a</script>")
    page = render_specificity(found)
    assert page == render_specificity(found)
    assert "<script>a" not in page and "&lt;script&gt;a" in page
    assert "\u22124.00" in page and "8.0×" in page and "down-5" in page
    assert Specificity.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_the_command_writes_a_matrix_and_takes_the_latest_lock(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    call(capfd, "run", "one.yaml", "--no-cache")
    done = call(capfd, "specificity", ".", "--json", "summary.json")
    assert done.code == 0, done.err
    summary = json.loads((folder / "summary.json").read_text())
    assert [row["name"] for row in summary["rows"]] == ["one", "other"]
    [made] = (folder / "reports" / "specificity").iterdir()
    assert "<main>" in (made / "specificity.html").read_text()
    found = Specificity.model_validate_json((made / "specificity.json").read_text())
    assert [bool(task.lock) for task in found.tasks] == [True, False]
    assert {each.name for each in found.apart} == {"wrong", "elsewhere"}
    assert "not comparable: elsewhere: it is about" in " ".join(done.out.split())
    assert found.effects == measured(folder).effects
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_one_hypothesis_has_nothing_to_be_compared_with(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    done = call(capfd, "specificity", "one.yaml", "wrong.yaml")
    assert done.code == 4
    assert "compares at least 2 hypotheses of one model and basis; 1 can be used" in done.err
    assert "wrong.yaml: the model gives none of its answers" in done.err
