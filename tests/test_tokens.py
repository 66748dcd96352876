from __future__ import annotations

import re
import sys
import time

import pytest
from declared import DIFF, PLANO, changed
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tracer.errors import HypothesisError
from tracer.hypothesis import chat
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.partial import validated
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.tokens import TokenizedPrompt, token_notes, tokenize
from tracer.hypothesis.vocabulary import read_text, token_id
from tracer.hypothesis.yaml_text import parse

CHAT = (
    "{{ '<bos>' }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "<user>{{ m.content | trim }}</user>{% endfor %}"
    "{% if add_generation_prompt %}<model>{% endif %}"
)


def small_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, with merges that make a few words of the capitals prompt one token each."""
    vocabulary = {"<bos>": 0, "<unk>": 1}
    for character in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[character] = len(vocabulary)
    merges: list[tuple[str, str]] = []
    for word in ("ĠDallas", "ĠAustin", "ĠSacramento", "state", "Oakland"):
        for end in range(2, len(word) + 1):
            piece = word[:end]
            if piece not in vocabulary:
                vocabulary[piece] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", unk_token="<unk>", chat_template=CHAT
    )


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return small_tokenizer()


def declared(text: str) -> HypothesisFile:
    source = parse(text)
    return HypothesisFile("h.yaml", text, validated(Hypothesis, source.data), (), source.marks)


def sentences(text: str, tokenizer: PreTrainedTokenizerFast, context: int = 1000) -> list[str]:
    with pytest.raises(HypothesisError) as caught:
        tokenize(declared(text), tokenizer, context)
    return str(caught.value).splitlines()


def spelled(prompt: TokenizedPrompt, span: str) -> str:
    start, end = prompt.spans[span]
    return "".join(prompt.tokens[start:end])


def test_a_prompt_has_ids_spans_and_all_that_is_asked_on_it(tokenizer: PreTrainedTokenizerFast):
    text = changed(('" Austin"}', '" Austin", spans: {hop: "e state c"}}'))
    prompts = tokenize(declared(text), tokenizer, 1000)
    dallas = prompts["dallas"]
    assert dallas.text == "The capital of the state containing Dallas is"
    assert (dallas.ids[0], dallas.tokens[0]) == (0, "<bos>")
    assert "".join(dallas.tokens[1:]) == dallas.text
    assert dallas.spans["last"] == (len(dallas.ids) - 1, len(dallas.ids))
    assert spelled(dallas, "city") == " Dallas"
    assert spelled(dallas, "hop") == "e state c"
    assert set(dallas.asked) == {" Austin", " Sacramento"}
    assert dallas.answer_id == dallas.asked[" Austin"] == token_id(" Austin", tokenizer)
    assert set(prompts["oakland"].asked) == {" Sacramento"}, "no intervention runs on it"


def test_directions_are_asked_on_their_own_prompts(tokenizer: PreTrainedTokenizerFast):
    text = changed(
        ("on: [oakland]", "on: [oakland], toward: {logit_diff: ['{answer}', ' Dallas']}")
    )
    prompts = tokenize(declared(text), tokenizer, 1000)
    assert set(prompts["oakland"].asked) == {" Sacramento", " Dallas"}
    assert " Dallas" not in prompts["dallas"].asked


def test_a_rule_that_is_tried_on_wrong_donors_asks_for_its_own_token_there(
    tokenizer: PreTrainedTokenizerFast,
):
    text = changed(
        (PLANO, f'{PLANO}\n  tampa: {{city: Tampa, answer: " Dallas"}}'),
        (DIFF, '{probability: " Sacramento", beats_procedure: 0.05}'),
    )
    text += "controls: {donors: [tampa]}\n"
    prompts = tokenize(declared(text), tokenizer, 1000)
    assert " Sacramento" in prompts["tampa"].asked, "the direction stays that of the claim"
    own = text.replace("on: [oakland]", "on: [oakland], toward: {token: '{answer}'}")
    assert " Sacramento" in tokenize(declared(own), tokenizer, 1000)["tampa"].asked


@pytest.mark.parametrize("city", ["ירושלים", "東京都", "🐄 👩‍🚀", "e\u0301le\u0300ve", "<b>&amp;"])
def test_spans_of_any_writing_cover_their_tokens(city: str, tokenizer: PreTrainedTokenizerFast):
    dallas = tokenize(declared(changed(("city: Dallas", f"city: '{city}'"))), tokenizer, 1000)[
        "dallas"
    ]
    start, end = dallas.spans["city"]
    decoded = tokenizer.decode(dallas.ids[start:end], clean_up_tokenization_spaces=False)
    assert decoded.strip() == city
    assert dallas.spans["last"][0] >= end


def test_a_variable_that_occurs_twice_or_is_empty_has_no_range(tokenizer: PreTrainedTokenizerFast):
    twice = changed(("containing {city}", "containing {city} and {city}"))
    assert set(tokenize(declared(twice), tokenizer, 1000)["dallas"].spans) == {"last"}
    empty = changed(("city: Dallas", 'city: ""'))
    assert set(tokenize(declared(empty), tokenizer, 1000)["dallas"].spans) == {"last"}


def test_an_answer_of_several_tokens_shows_its_pieces_and_a_spelling_that_would_do(
    tokenizer: PreTrainedTokenizerFast,
):
    [line] = sentences(changed(('Dallas, answer: " Austin"', "Dallas, answer: Austin")), tokenizer)[
        :1
    ]
    assert line == (
        "h.yaml:5:26: prompts.dallas.answer: 'Austin' is 5 tokens, 'A', 'u', 'st', 'i', 'n'; "
        "exactly one is expected. ' Austin', with one leading space, is one token."
    )


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (" Oakland", "'Oakland', without spaces around it, is one token."),
        ("", "'' is no token at all; exactly one is expected."),
        (" Waco", "' Waco' is 5 tokens, ' ', 'W', 'a', 'c', 'o'; exactly one is expected."),
    ],
)
def test_what_is_not_one_token_is_a_sentence(
    token: str, sentence: str, tokenizer: PreTrainedTokenizerFast
):
    with pytest.raises(ValueError, match="exactly one") as caught:
        token_id(token, tokenizer)
    assert sentence in str(caught.value)


def test_every_mistake_is_told_once_at_its_line(tokenizer: PreTrainedTokenizerFast):
    text = changed(
        ('{top: " Sacramento"}', '{top: " Waco"}'),
        ('{rises: " Sacramento"}', '{rises: " {city}s"}'),
    )
    lines = sentences(text, tokenizer, context=10)
    assert [line.split(": ")[0] for line in lines] == [
        "h.yaml:5:3",
        "h.yaml:6:3",
        "h.yaml:7:3",
        "h.yaml:18:10",
        "h.yaml:20:59",
        "h.yaml:20:59",
    ]
    assert "prompts.dallas: it is" in lines[0] and "from 1 to 10 fit the model" in lines[0]
    assert "' Plano" in lines[5] or "' Plano" in lines[4]


def chat_file(*messages: str) -> str:
    return changed(
        (
            '{city: Dallas, answer: " Austin"}',
            f'{{city: Dallas, answer: " Austin", messages: [{", ".join(messages)}]}}',
        )
    )


def test_a_chat_is_formatted_once_and_its_spans_found_in_its_messages(
    tokenizer: PreTrainedTokenizerFast,
):
    text = chat_file(
        "{role: user, content: user}",
        "{role: assistant, content: ' model '}",
        "{role: user, content: '  Where is {city}?'}",
    )
    dallas = tokenize(declared(text), tokenizer, 1000)["dallas"]
    assert dallas.text == (
        "<bos><user>user</user><user>model</user><user>Where is Dallas?</user><model>"
    )
    assert dallas.ids.count(0) == 1
    assert spelled(dallas, "city") == " Dallas"


def test_a_chat_span_is_never_taken_for_the_format_around_it(tokenizer: PreTrainedTokenizerFast):
    text = chat_file("{role: user, content: 'the {city}'}").replace("city: Dallas", "city: user")
    dallas = tokenize(declared(text), tokenizer, 1000)["dallas"]
    start = dallas.spans["city"][0]
    assert "".join(dallas.tokens[:start]).endswith("<user>the ")


def test_a_chat_the_model_cannot_format_is_a_sentence(tokenizer: PreTrainedTokenizerFast):
    [line] = sentences(chat_file("{role: system, content: 'Be brief in {city}'}"), tokenizer)
    assert line == (
        "h.yaml:5:45: prompts.dallas.messages: the model's chat format refuses these messages: "
        "System role not supported"
    )
    plain = small_tokenizer()
    plain.chat_template = None
    [line] = sentences(chat_file("{role: user, content: 'In {city}'}"), plain)
    assert "this model has no chat format: write the prompt as `text`" in line
    plain.chat_template = "{% for m in messages %}{{ m.content | upper }}{% endfor %}"
    [line] = sentences(chat_file("{role: user, content: 'In {city}'}"), plain)
    assert "changes the messages" in line


NESTED = "{% for i in range(99999) %}{% for j in range(99999) %}BODY{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (NESTED.replace("BODY", "{% set k = j %}"), "does not end within 0.3 seconds"),
        (NESTED.replace("BODY", "x"), "(does not end within|writes more than)"),
        ("{% set x %}" + NESTED.replace("BODY", "") + "{% endset %}", "does not end within"),
        (
            "{% macro m(n) %}" + NESTED.replace("BODY", "{{ n }}") + "{% endmacro %}{{ m(1) }}",
            "does not end within",
        ),
        (NESTED.replace("BODY", "{{ range(9999) | map('string') | join }}"), "does not end"),
        ("{% for i in range(99999) %}" + 1000 * "x" + "{% endfor %}", "writes more than 1,000,000"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "cannot be used .RecursionError"),
        ("{{ range(10 ** 9) }}", "cannot be used .OverflowError"),
        ("{{ 1 // 0 }}", "cannot be used .ZeroDivisionError"),
        ("{% for %}", "refuses these messages"),
        (3, "cannot be used .TypeError"),
    ],
)
def test_a_chat_format_without_bounds_is_stopped(
    template: object, why: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(chat, "MAX_SECONDS", 0.3)
    monkeypatch.setattr(chat, "MAX_CHARACTERS", 1_000_000)
    model = small_tokenizer()
    model.chat_template = template
    traced, begun = sys.gettrace(), time.monotonic()
    [line] = sentences(chat_file("{role: user, content: 'In {city}'}"), model)
    assert time.monotonic() - begun < 3
    assert re.search(f"prompts.dallas.messages: the model's chat format .*{why}", line)
    assert sys.gettrace() is traced


def test_a_chat_format_without_end_is_tried_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chat, "MAX_SECONDS", 0.1)
    model, asked = small_tokenizer(), []
    model.chat_template = NESTED.replace("BODY", "")
    formatted = model.apply_chat_template
    monkeypatch.setattr(
        model, "apply_chat_template", lambda *a, **k: asked.append(a) or formatted(*a, **k)
    )
    message = "messages: [{role: user, content: 'In {city}'}]"
    text = chat_file("{role: user, content: 'In {city}'}")
    assert PLANO in text
    lines = sentences(text.replace(PLANO, PLANO[:-1] + f", {message}}}"), model)
    assert sum("does not end within" in line for line in lines) == 2
    assert len(asked) == 1


def test_a_tokenizer_that_fails_on_a_text_is_told(monkeypatch: pytest.MonkeyPatch):
    core = Tokenizer(models.WordPiece(vocab={"a": 0}, unk_token="<gone>"))
    model = PreTrainedTokenizerFast(tokenizer_object=core)
    lines = sentences(changed(), model)
    assert all("the model's tokenizer cannot read '" in line for line in lines)
    assert "WordPiece error: Missing [UNK] token from the vocabulary" in lines[0]


def test_text_that_leaves_no_room_is_told(tokenizer: PreTrainedTokenizerFast):
    clamp = "    clamp: {texas: 0, california: 1}"
    text = changed((clamp, clamp + "\n    generate: {tokens: 500}"))
    n = len(tokenize(declared(text), tokenizer, 1000)["dallas"].ids)
    [first, _] = sentences(text, tokenizer, context=n + 499)
    assert f"dallas is {n} tokens long and 500 are to follow; {n + 499} in all fit" in first


@pytest.mark.parametrize(
    ("text", "is_opened"),
    [(" Dallas", False), ("<bos> Dallas", True), ("<bos>", True), ("", False), ("a <bos>", False)],
)
def test_text_that_begins_with_bos_gets_one(
    text: str, is_opened: bool, tokenizer: PreTrainedTokenizerFast
):
    found = read_text(text, tokenizer)
    once = text if is_opened else "<bos>" + text
    plain = tokenizer(once, add_special_tokens=False)["input_ids"]
    assert (list(found.ids), found.is_opened) == (plain, is_opened)
    assert found.ids.count(0) == once.count("<bos>")
    assert len(found.offsets) == len(found.ids)


def test_a_second_bos_that_the_text_has_itself_is_kept(tokenizer: PreTrainedTokenizerFast):
    assert read_text("<bos><bos>a", tokenizer).ids[:2] == (0, 0)
    assert len(read_text("<bos><bos>a", tokenizer).ids) == 3


def test_a_prompt_that_begins_with_bos_is_told_and_has_its_spans(
    tokenizer: PreTrainedTokenizerFast,
):
    plain = tokenize(declared(changed()), tokenizer, 1000)["dallas"]
    file = declared(changed(('"The capital', '"<bos>The capital')))
    prompts = tokenize(file, tokenizer, 1000)
    assert (prompts["dallas"].ids, prompts["dallas"].spans) == (plain.ids, plain.spans)
    assert list(token_notes([plain])) == []
    assert list(token_notes([prompts["dallas"]])) == [
        "the prompt 'dallas' begins with '<bos>' itself: no second one is put in front."
    ]


@pytest.mark.parametrize(
    ("text", "positions"),
    [("<bos>", "1"), (" <bos>", "2"), ("Dallas <bos> <bos>", None), ("<s>", None)],
)
def test_an_opening_token_inside_a_prompt_is_told(
    text: str, positions: str | None, tokenizer: PreTrainedTokenizerFast
):
    file = declared(changed(('"The capital', f'"<bos>{text}The capital')))
    prompt = tokenize(file, tokenizer, 1000)["dallas"]
    again = [pos for pos, token in enumerate(prompt.tokens) if token == "<bos>" and pos]
    at = f"position {positions}" if positions else f"positions {', '.join(map(str, again))}"
    said = f"the prompt 'dallas' has '<bos>' again at {at}, as if another text began there."
    assert list(token_notes([prompt]))[1:] == [said] * bool(again)


@pytest.mark.parametrize(
    ("template", "answer", "is_told"),
    [
        ("{city} is to a state as a city is to", "state", True),
        ("{city} is to a state, a city to,", "state", True),
        ("{city} is to a state as a city is to", " Austin", False),
        ("{city} is to a state as a city is to ", "state", False),
        ("{city} is to a state as a city is to the (", "state", False),
        ("{city} is to a \u5dde", "state", False),
        ("{city} is the", "r", False),
        ("{city} is", "7", False),
    ],
)
def test_a_word_without_a_space_behind_a_word_is_told(
    template: str, answer: str, is_told: bool, tokenizer: PreTrainedTokenizerFast
):
    core = tokenizer.backend_tokenizer
    extended = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(core.to_str()), unk_token="<unk>", bos_token="<bos>"
    )
    extended.add_tokens([" state"])
    text = (
        "hypothesis: h\nclaim: c\nprompts:\n"
        f'  one: {{text: "{template.replace("{city}", "Dallas")}", answer: "{answer}"}}\n'
        "supernodes:\n  s: {features: ['0_1'], at: last}\n"
        "interventions:\n  i: {prompts: [one], clamp: {s: 0}, expect: [{top_is_not: '{answer}'}]}\n"
    )
    prompts = tokenize(declared(text), extended, 1000)
    notes = list(token_notes(prompts.values()))
    assert bool(notes) == is_told
    if is_told:
        assert notes == [
            "'state' has no space in front, so it goes on with the last word of prompt 'one'; "
            "to ask for a new word, write ' state', which is one token."
        ]
