"""How much a clamp sets a feature to: a number in one of three units.

- `times`: set to a multiple of the mean activation on the source prompts. With `from: [here]` the
  source is the clamped prompt itself, which is circuit-tracer's unit.
- `to`: set to a value, whatever the feature's activation is.
- `add`: set to the activation on the clamped prompt, plus a multiple of the feature's maximum over
  a dataset, which is Neuronpedia's unit.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Unit = Literal["times", "to", "add"]
UNITS: tuple[Unit, ...] = ("times", "to", "add")
_FORMS = {"times": "×{}", "to": "= {}", "add": "+ {} × maximum"}


class Amount(NamedTuple):
    """A number and its unit."""

    unit: Unit
    value: float

    def words(self) -> str:
        """As people read it: '×−1', '= 12.5', '+ 2 × maximum'; the minus sign is U+2212."""
        return _FORMS[self.unit].format(f"{self.value:g}").replace("-", "\u2212")


def amount_of(times: float | None, to: float | None, add: float | None) -> Amount:
    """The one that is given; ×1 where none is, which moves activations as they are."""
    if to is not None:
        return Amount("to", to)
    return (
        Amount("add", add) if add is not None else Amount("times", 1.0 if times is None else times)
    )
