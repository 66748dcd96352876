"""Which prompts have the same text: held-out ones only judge, dependent ones count as one group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from unicodedata import category, normalize

from tracer.hypothesis.clamps import InterventionSpec, long_form
from tracer.hypothesis.spec import Hypothesis, PromptSpec
from tracer.hypothesis.template import render_prompt

Content = tuple[tuple[str, str], ...]
"""Role and text of each part, as `plain` leaves it."""


_QUOTES = str.maketrans(dict.fromkeys("‘’‚‛′`´", "'") | dict.fromkeys("“”„‟″«»", '"'))
_INVISIBLE = ("Cf", "Cc", "Co", "Cn")
"""Unicode categories that show nothing: format and control characters, and unassigned ones."""
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u180b\u180c\u180d\u180f"
).union(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
"""Letters, marks and symbols that show nothing: Unicode's other default-ignorable characters (UAX
44), and the empty Braille pattern."""


def plain(text: str) -> str:
    """A text without what does not make it another one: case, width, quotes, the unseen, blanks.

    NFKC and case folding of Unicode; every quotation mark as ' or "; characters that are not seen
    left out; every run of blanks one space.
    """
    seen = "".join(c for c in text if c.isspace() or _is_seen(c))
    return " ".join(normalize("NFKC", seen.translate(_QUOTES)).casefold().split())


def _is_seen(character: str) -> bool:
    return category(character) not in _INVISIBLE and character not in _BLANK


def content(prompt: PromptSpec, template: str | None) -> Content:
    """What a prompt says, whatever it is called; () where it has no text.

    Raises:
        TemplateMistake: its text cannot be rendered.
    """
    parts = render_prompt(prompt, template)
    roles = [message.role for message in prompt.messages or ()] or [""] * len(parts)
    return tuple((role, plain(part.text)) for role, part in zip(roles, parts, strict=True))


def near_twins(hypothesis: Hypothesis) -> Iterator[tuple[str, str]]:
    """Pairs of a discovery and a held-out prompt that differ in a character, or in punctuation.

    Only letters and digits are compared; one of them may be another, more or less.
    """
    bare = {
        name: "".join(_letters(text) for _, text in content(prompt, hypothesis.template))
        for name, prompt in hypothesis.prompts.items()
    }  # fmt: skip
    found_on = [name for name, prompt in hypothesis.prompts.items() if not prompt.held_out]
    for held_out in (name for name, prompt in hypothesis.prompts.items() if prompt.held_out):
        for name in found_on:
            if _is_one_edit(bare[name], bare[held_out]):
                yield name, held_out


def _letters(text: str) -> str:
    """Its letters and digits, as `plain` leaves them."""
    return "".join(c for c in plain(text) if c.isalnum())


def _is_one_edit(one: str, other: str) -> bool:
    """Whether at most one character is changed, put in or left out."""
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1:
        return False
    n = next((i for i, c in enumerate(short) if c != long[i]), len(short))
    return (
        short[n + 1 :] == long[n + 1 :] if len(short) == len(long) else short[n:] == long[n + 1 :]
    )


def leaks(found_in: Hypothesis, hypothesis: Hypothesis) -> tuple[str, ...]:
    """Held-out prompts that another hypothesis found its supernodes on, whatever it calls them."""
    on = [
        name
        for supernode, node in found_in.supernodes.items()
        if supernode in hypothesis.supernodes
        for name in node.own_prompts
    ]
    seen = {content(found_in.prompts[name], found_in.template) for name in on}
    return tuple(
        name
        for name, prompt in hypothesis.prompts.items()
        if prompt.held_out and content(prompt, hypothesis.template) in seen
    )


def spans_of(hypothesis: Hypothesis, spec: InterventionSpec) -> tuple[str, ...]:
    """Variables of the template at which an intervention clamps."""
    clamps = {name: long_form(clamp) for name, clamp in spec.clamp.items()}
    spans = [clamp.at or hypothesis.supernodes[name].span for name, clamp in clamps.items()]
    spans += [span for each in spec.attention for span in (each.from_, each.to) if span]
    known = {name for prompt in hypothesis.prompts.values() for name in prompt.variables}
    return tuple(dict.fromkeys(span for span in spans if span in known))


def n_independent(hypothesis: Hypothesis, prompts: Iterable[str], fills: Iterable[str]) -> int:
    """How many of some prompts depend on no other one.

    They do that are drawn together (`group_of`), and that have the same words at every one of the
    variables `fills`: the same city in six wordings is one city.
    """
    at = tuple(fills)
    parts: list[set[str]] = []
    for name in prompts:
        prompt = hypothesis.prompts[name]
        keys = {group_of(hypothesis, name)}
        if at:
            keys.add(f"fill {[_letters(prompt.variables.get(each, '')) for each in at]}")
        mine = [part for part in parts if part & keys]
        parts = [part for part in parts if not part & keys] + [keys.union(*mine)]
    return len(parts)


def group_of(hypothesis: Hypothesis, prompt: str) -> str:
    """What a prompt is drawn, and changes sign, together with: a key, not a text for people."""
    return dependence(hypothesis.prompts[prompt], hypothesis.template)


def dependence(prompt: PromptSpec, template: str | None) -> str:
    """The same for one prompt alone.

    Raises:
        TemplateMistake: its text cannot be rendered.
    """
    if prompt.group is not None:
        return f"group {prompt.group}"
    return f"text {content(prompt, template)}"
