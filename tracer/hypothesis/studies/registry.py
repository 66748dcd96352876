"""Every kind of study, in the order of their sections: a new one is a file here, and named here."""

from __future__ import annotations

from tracer.hypothesis.studies.circuit import CircuitSpec
from tracer.hypothesis.studies.mediation import Mediation
from tracer.hypothesis.studies.necessity import Necessity
from tracer.hypothesis.studies.shared import SharedSpec
from tracer.hypothesis.studies.study import Study
from tracer.hypothesis.studies.swaps import Swaps

STUDIES: tuple[type[Study], ...] = (Necessity, Mediation, Swaps, CircuitSpec, SharedSpec)
