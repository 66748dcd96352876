"""How numbers, tokens and clamps are written in a verdict: exact, short and printable.

Signs are true minus signs (U+2212); a threshold is written with all of its digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from tracer.hypothesis.clamps import ClampForm, InterventionSpec, long_form
from tracer.hypothesis.template import variables

MINUS = "\u2212"
_N_NAMES = 4


def show_token(token: str) -> str:
    """A token in quotes, its leading space kept, whatever cannot be printed escaped."""
    return repr(token)


def show_written(written: str) -> str:
    """A token as a file writes it; where variables fill it, what they are: 'own answer'."""
    names = variables(written)
    return f"own {' and '.join(names)}" if names else show_token(written)


def exact(value: float) -> str:
    """Every digit of a threshold, two decimals at least: '1.00', '−0.005'."""
    digits = f"{Decimal(repr(float(value))).normalize():f}"
    whole, _, decimals = digits.partition(".")
    return f"{whole}.{decimals:0<2}".replace("-", MINUS)


def number(value: float) -> str:
    """A measured number: two decimals, or two digits where it is small."""
    size = abs(value)
    if value == 0 or size >= 0.1:
        text = f"{value:.2f}"
    elif size >= 0.001:
        text = f"{value:.2g}"
    else:
        text = f"{value:.1e}"
    return text.replace("-", MINUS)


def signed(value: float) -> str:
    """A measured number that says which side of zero it is on: '+2.32', '−1.27'."""
    return number(value) if value <= 0 else "+" + number(value)


def p_text(p: float) -> str:
    """A p-value with the two digits that matter: '0.01', '0.042', '0.0083'."""
    return f"{p:.2g}".replace("-", MINUS)


def counted(n: int, word: str) -> str:
    """'1 prompt', '9 prompts'."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def named(names: Iterable[str]) -> str:
    """Names in a row, at most four of them."""
    all_names = list(names)
    more = len(all_names) - _N_NAMES
    return ", ".join(all_names[:_N_NAMES]) + (f" and {more} more" if more > 0 else "")


def intervention_words(spec: InterventionSpec) -> str:
    """What an intervention does: its clamps, then the patterns that it sets."""
    patterns = (each.words() for each in spec.attention)
    return ", ".join([*filter(None, [clamp_words(spec.clamp)]), *patterns])


def clamp_words(clamps: Mapping[str, ClampForm]) -> str:
    """What clamps do: 'texas ×0, california ×−2 from oakland'."""
    return ", ".join(_clamp(name, clamp) for name, clamp in clamps.items())


def _clamp(name: str, clamp: ClampForm) -> str:
    spec = long_form(clamp)
    source = f" from {named(spec.from_)}" if spec.from_ else ""
    return f"{name} {spec.amount.words()}{source}"
