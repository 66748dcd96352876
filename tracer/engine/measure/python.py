"""Ask the Python expectations of a hypothesis: each on what was measured, and without the clamps.

Their answers are recorded beside the measurements, so that a run is judged again where the
functions are not. What a function raises is its answer's problem: the run goes on.
"""

from __future__ import annotations

from tracer.engine.clean import CleanRun, reading
from tracer.engine.measure.prompts import Measurement
from tracer.engine.resolve import MeasurementContext
from tracer.errors import one_line, shorten, show
from tracer.hypothesis.expectations.python import Python
from tracer.hypothesis.implied import all_interventions
from tracer.record.prompt_trial import PromptTrial
from tracer.record.trials import PythonAnswer, Reading, Trial


def with_python(context: MeasurementContext, prompt: str, found: Measurement) -> Measurement:
    """Add the functions' answers to a prompt's trials."""
    specs, trials = all_interventions(context.hypothesis), dict(found.trials)
    for name, trial in found.trials.items():
        asked = [each for each in specs[name].expect if isinstance(each, Python)]
        if asked and trial.problem is None:
            trials[name] = _answered(context, context.clean[prompt], trial, asked)
    return found._replace(trials=trials)


def _answered(
    context: MeasurementContext, clean: CleanRun, trial: Trial, asked: list[Python]
) -> Trial:
    baseline = reading(clean.logits, clean.prompt.asked, context.model.tokenizer)
    answer = context.hypothesis.prompts[trial.prompt].answer
    answers = {
        each.sha256: _ask(each, clean.prompt.text, answer, baseline, trial)
        for each in asked
        if each.sha256 is not None
    }
    return trial.model_copy(update={"python": answers})


def _ask(
    expectation: Python, text: str, answer: str | None, clean: Reading, trial: Trial
) -> PythonAnswer:
    function, name = expectation.function, expectation.python
    if function is None:
        problem = f"the Python function {name} was not defined with this text where it was measured"
        return PythonAnswer(clamped=None, unclamped=None, problem=problem)
    told: list[bool] = []
    for given in (PromptTrial.of, PromptTrial.unclamped):
        try:
            said = function(given(text, answer, clean, trial))
        except Exception as error:  # noqa: BLE001 # the user's code fails in any way
            raised = shorten(f"{type(error).__name__}: {one_line(error)}", 200)
            problem = f"the Python function {name} raised {raised}"
            return PythonAnswer(clamped=None, unclamped=None, problem=problem)
        if not isinstance(said, bool):
            problem = f"the Python function {name} gave {show(said)}; True or False is expected"
            return PythonAnswer(clamped=None, unclamped=None, problem=problem)
        told.append(said)
    return PythonAnswer(clamped=told[0], unclamped=told[1])
