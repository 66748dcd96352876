"""A run's cost with its variations: the sum of the files that each would be."""

import pytest

from tests.records import HYPOTHESIS
from tests.test_plan import GEMMA, SIZES
from tracer.engine.cost import PromptSize
from tracer.engine.plan import OPEN_SECONDS, make_plan, make_whole_plan
from tracer.hypothesis.spec import Hypothesis

SECTION = {"seeds": [1, 2], "templates": {"long": "Again: {city}"}}


def hypothesis(**replaced):
    return Hypothesis.model_validate({**HYPOTHESIS, **replaced})


def test_every_variation_counts_as_the_file_it_is_less_what_is_there():
    alone = make_plan(hypothesis(), sizes=SIZES, model=GEMMA)
    nothing = hypothesis(interventions={})
    clean = make_plan(nothing, sizes=SIZES, model=GEMMA)
    whole = make_whole_plan(hypothesis(robustness=SECTION), sizes=SIZES, model=GEMMA)
    assert whole.n_rows == 4 * alone.n_rows
    # Another text needs its own clean passes and rules, another seed neither.
    assert (whole.prompts, whole.backward) == (2 * alone.prompts, 2 * alone.backward)
    assert (whole.tokens, whole.batches) == (4 * alone.tokens, 4 * alone.batches)
    assert whole.bytes == alone.bytes
    paraphrase, seed = alone.seconds - OPEN_SECONDS, alone.seconds - clean.seconds
    assert whole.seconds == pytest.approx(alone.seconds + paraphrase + 2 * seed)
    assert {rows.intervention for rows in whole.rows} == {
        *HYPOTHESIS["interventions"],
        "variation template-long",
        "variation seed-1",
        "variation seed-2",
    }


def test_another_size_follows_its_rules_again():
    alone = make_plan(hypothesis())
    sized = hypothesis(robustness={"sizes": [10, 20]})
    # `say_austin` has 10 already: of the three rules, two are followed again at 10, three at 20.
    assert make_whole_plan(sized).backward == alone.backward + 2 + 3


def test_a_paraphrase_has_its_own_length():
    longer = {name: PromptSize(20, {"city": (7, 9), "last": (19, 20)}) for name in SIZES}
    declared = hypothesis(robustness={"templates": SECTION["templates"]})
    whole = make_whole_plan(declared, sizes=SIZES, varied={"template-long": longer})
    one, other = make_plan(hypothesis(), sizes=SIZES), make_plan(hypothesis(), sizes=longer)
    assert whole.tokens == one.tokens + other.tokens
    assert whole.tokens_full == one.tokens_full + other.tokens_full


def test_without_variations_it_is_the_plan():
    assert make_whole_plan(hypothesis()) == make_plan(hypothesis())
