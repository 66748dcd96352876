"""Claims that take several interventions each: necessity, mediation, and swaps of every pair.

A study is declared as one object and measured as the interventions it implies
(`tracer.hypothesis.implied`); its outcome is read from all of them together.
"""

from __future__ import annotations
