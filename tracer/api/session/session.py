"""A session: one open model that is asked, clamped, looked into, and measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tracer.api import hypotheses
from tracer.api.graph import Graph
from tracer.api.session.answers import Answers
from tracer.api.session.asking import answers_of
from tracer.api.session.clamped import Clamped
from tracer.api.session.clamping import KeyedClamps, clamp_prompt
from tracer.api.session.supernode import Supernode
from tracer.engine.features.open import open_basis
from tracer.engine.features.places import tuples_of
from tracer.engine.graph_request import GraphRequest
from tracer.engine.graphs import graphs, with_heads
from tracer.engine.members import places_of
from tracer.engine.model.held import hashed, held_weights, require_as_it_is
from tracer.engine.model.hf_load import load_tokenizer
from tracer.engine.model.model import Model
from tracer.engine.model.sources import named_model
from tracer.engine.model.tokenizer import PlainTokenizer
from tracer.engine.model.weights import open_weights
from tracer.engine.progress import Progress, Silent
from tracer.engine.resolve import open_context
from tracer.engine.session import Opened
from tracer.errors import UsageError
from tracer.hypothesis.given import Prompt, Prompts, declared, prompt_of, prompt_table
from tracer.hypothesis.load import HypothesisFile, Replacements
from tracer.hypothesis.names import NEURONS
from tracer.hypothesis.spec import Hypothesis, ModelSpec
from tracer.hypothesis.studies.graph import KEPT_FEATURES
from tracer.hypothesis.tokens import TokenizedPrompt, tokenize
from tracer.record.graph.prune import prune as prune_graph
from tracer.report.graph_view import SupernodePlaces
from tracer.report.run import Run

_PROMPT = "prompt"


class Session:
    """A model with its features, opened once."""

    def __init__(
        self,
        model: object = None,
        *,
        tokenizer: object = None,
        features: str = NEURONS,
        name: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Open a model by its name, or take one that is in memory.

        A model in memory is not copied, loaded or changed; a `TransformerBridge` is used as it is.
        In records its fingerprint is a SHA-256 of its weights as they are when something is
        measured, which takes about a second a gigabyte. Runs of it and of the files that it was
        loaded from are not taken for the same.

        Args:
            model: A registered name, a Hugging Face id or a folder; or a Hugging Face causal model;
                or a `TransformerBridge`. None is the model that hypotheses have by default.
            tokenizer: Of a Hugging Face model, a fast one.
            features: `neurons`, a registered dictionary, a folder or a Hugging Face id.
            name: What records call a model in memory.
            device: Of a model that is opened by name: `auto`, `cpu`, `cuda`, …
            dtype: Likewise: `float32`, `bfloat16`, `float16` or `float64`.
            progress: Told of every step; silent by default.

        Raises:
            UsageError: Something that is no model or tokenizer; a model with hooks left on it, in
                training mode, or with folded weights; no such device or features.
            ModelUnavailable: The model cannot be had, or not be wrapped.

        Example:
            >>> from transformers import AutoModelForCausalLM, AutoTokenizer
            >>> held = AutoModelForCausalLM.from_pretrained("gemma")
            >>> tokenizer = AutoTokenizer.from_pretrained("gemma")
            >>> tracer.Session(held, tokenizer=tokenizer, name="mine")
            Session(mine, neurons, float32 on cpu)
        """
        self._progress: Progress = progress or Silent()
        self.features = features
        self._held = None
        if model is None or isinstance(model, str):
            _require_none(tokenizer=tokenizer, name=name)
            self.spec: ModelSpec = named_model(model, device, dtype)
            weights = open_weights(self.spec, self._progress)
        else:
            _require_none(device=device, dtype=dtype)
            self._held = weights = held_weights(model, tokenizer, name)
            found = weights.record
            self.spec = ModelSpec(name=found.name, device=found.device, dtype=_dtype(found.dtype))
        opened = Model(weights)
        self._opened = Opened(opened, open_basis(features, opened, self._progress))

    @cached_property
    def tokenizer(self) -> Any:
        """The model's, as transformers reads it."""
        own = self._tokenizer
        return load_tokenizer(own.folder) if isinstance(own, PlainTokenizer) else own

    @property
    def _tokenizer(self) -> Any:
        return self._opened.model.tokenizer

    def ask(self, prompts: Prompts, *, template: str | None = None) -> Answers:
        """What the model answers unclamped, and how each prompt is cut into tokens.

        Args:
            prompts: A text, several, or prompts by name as in a file: with `answer`, variables, ….
            template: The text of those that have none.

        Returns:
            One answer a prompt, in their order; the ten most probable next tokens of each, with
            softmax probabilities over the whole vocabulary.

        Raises:
            HypothesisError: A prompt that is too long, an answer that is not one token.
            EngineError: The logits are not finite.

        Example:
            >>> session = tracer.Session("./gemma")
            >>> [answer] = session.ask("the capital of Texas")
            >>> answer.tokens, len(answer.top)
            (('<bos>', 'the', ' capital', ' of', ' Texas'), 10)
        """
        table = prompt_table(prompts, template)
        return self.answers(declared(self.spec, self.features, table))

    def answers(self, file: HypothesisFile) -> Answers:
        """What this model answers to the prompts of a file that was read; see `ask`.

        Raises:
            HypothesisError: A prompt that is too long, an answer that is not one token.
            EngineError: The logits are not finite.
        """
        self._check()
        return answers_of(self._opened.model, file, self._progress)

    def find(
        self,
        rule: Mapping[str, Any],
        prompts: Iterable[str] | Mapping[str, Prompt],
        *,
        template: str | None = None,
        name: str = "found",
    ) -> Supernode:
        """The features that a selection rule finds: the members of a supernode.

        Args:
            rule: As under `select:` in a file: `on`, `against`, `at`, `layers`, `by`, `top`, ….
            prompts: Those that it names, by name; those of a list are `prompt_1`, `prompt_2`, ….
            template: The text of prompts that have none.
            name: What the supernode is called.

        Raises:
            HypothesisError: Every mistake in rule and prompts.
            EngineError: No feature scores above zero.

        Example:
            >>> session = tracer.Session("./gemma")
            >>> texas = session.find(
            ...     {"by": "activation", "on": ["dallas"], "against": ["miami"], "top": 3},
            ...     {"dallas": "the capital of Texas", "miami": "the capital of Florida"},
            ...     name="texas",
            ... )
            >>> len(texas), texas.record.source
            (3, ('dallas',))
        """
        table = prompt_table(prompts, template)
        file = declared(self.spec, self.features, table, {name: {"select": dict(rule)}})
        spec = file.hypothesis.supernodes[name]
        needed = {each: table[each] for each in dict.fromkeys(spec.found_on)}
        prompts_read = {each: p for each, p in self._tokenized(file).items() if each in needed}
        model, basis = self._opened.model, self._opened.basis
        context = open_context(file, model, basis, prompts_read, None, self._progress)
        return Supernode(context.supernodes[name], dict(rule), needed, template)

    def clamp(
        self,
        prompt: Prompt,
        clamp: KeyedClamps,
        *,
        freeze: Literal["none", "attention", "all"] = "none",
        read: Iterable[Supernode | str] = (),
        template: str | None = None,
    ) -> Clamped:
        """Set features on one prompt, and see what comes out at its last position.

        Args:
            prompt: A text, or a mapping as in a file, which names spans and variables.
            clamp: By supernode or feature id (`layer_index`, at the last token, or
                `layer_index_position`), how much, as under `clamp:` in a file: a number is a
                multiple of the supernode's own activation; or `{"to": 3.5}`,
                `{"times": 2, "from": ["here"]}`, ….
            freeze: What stays as in the clean pass: nothing, attention patterns, or everything but
                the clamped features.
            read: Supernodes and feature ids whose activations are read and that are not clamped.
            template: The text of a prompt that has none; by default that of the supernodes.

        Raises:
            HypothesisError: A clamp, span or token that is not there, or a feature of no layer.
            UsageError: Nothing is clamped, or two supernodes have one name.
            EngineError: The logits are not finite.

        Example:
            >>> session = tracer.Session("./gemma")
            >>> clamped = session.clamp("the capital of Texas", {"1_7": {"to": 4.0}}, read=["1_8"])
            >>> clamped.logits.shape == clamped.unclamped.shape
            True
            >>> clamped.activations["1_7"]
            tensor([4.])
        """
        self._check()
        return clamp_prompt(
            self._opened, self.spec, self.features, prompt, clamp, freeze, tuple(read), template
        )

    def graph(
        self,
        prompt: Prompt,
        *,
        toward: str | Sequence[str] | None = None,
        against: str | None = None,
        max_features: int = KEPT_FEATURES,
        prune: tuple[float, float] | None = (0.8, 0.98),
        heads: bool = False,
        max_heads: int | None = None,
        supernodes: Iterable[Supernode] = (),
        template: str | None = None,
    ) -> Graph:
        """The attribution graph of one prompt; see `tracer.attribution_graph`.

        Args:
            prompt: A text, or a mapping as in a file.
            toward: A token, or several, to explain; None means the most probable ones, and the
                prompt's answer.
            against: A second token: logit(toward) − logit(against) is explained instead.
            max_features: So many of the active features are kept, the most relevant.
            prune: Shares of the nodes' and of the edges' influence to keep; None keeps all.
            heads: Also find which attention heads carry each edge.
            max_heads: So many attention heads are nodes, the most relevant at their positions.
            supernodes: What `show` marks in it; the prompt must have their spans.
            template: The text of a prompt that has none.

        Example:
            >>> session = tracer.Session("./gemma")
            >>> graph = session.graph("the capital of Texas", toward=" Austin", max_features=20)
            >>> graph.subject.model, [logit.label for logit in graph.nodes.logits]
            ('./gemma', [' Austin'])
        """
        file = declared(self.spec, self.features, {_PROMPT: prompt_of(prompt, template)})
        request = GraphRequest(
            source=file,
            model=self.spec,
            features=self.features,
            toward=(toward,) if isinstance(toward, str) else tuple(toward or ()),
            against=against,
            max_features=max_features,
            max_heads=max_heads,
        )
        groups = [_places(each, self._tokenized(file)[_PROMPT]) for each in supernodes]
        [(_, whole, _, taken, _)] = graphs(request, self._progress, self._as_it_is_now())
        kept = whole if prune is None else prune_graph(whole, *prune)
        return Graph.of(with_heads(taken, kept, self._progress) if heads else kept, groups)

    def run(
        self,
        hypothesis: str | Path | Hypothesis,
        *,
        reports: str | Path = "reports",
        set: Iterable[str] = (),
        seed: int | None = None,
        lock: str | Path | None = None,
        fresh: bool = False,
        cache: bool = True,
    ) -> Run:
        """Measure and judge a hypothesis on this model, whatever model its file names.

        The features are the file's. See `tracer.run`.

        Example:
            >>> session = tracer.Session("./gemma")
            >>> run = session.run("tiny.yaml")
            >>> run.verdict.verdict, run.record.model.name
            ('consistent', './gemma')
        """
        return hypotheses.run(
            hypothesis,
            reports=reports,
            set=set,
            seed=seed,
            lock=lock,
            fresh=fresh,
            cache=cache,
            session=self,
            progress=self._progress,
        )

    def opened_for(self, file: HypothesisFile) -> tuple[HypothesisFile, Opened]:
        """The file as it is measured here, and this model, hashed now, with the file's features."""
        opened = self._as_it_is_now()
        asked = file.hypothesis
        if asked.features != self.features:
            basis = open_basis(asked.features, opened.model, self._progress)
            opened = opened._replace(features=basis)
        if asked.model_spec == self.spec:
            return file, opened
        spec = self.spec
        told = Replacements(spec.name, None, spec.device, spec.dtype).overrides()
        here = asked.model_copy(update={"model": spec})
        return replace(file, hypothesis=here, overrides=(*file.overrides, *told)), opened

    def __repr__(self) -> str:
        spec, device = self.spec, self._opened.model.record.device
        return f"Session({spec.name}, {self.features}, {spec.dtype} on {device})"

    def _check(self) -> None:
        if self._held is not None:
            require_as_it_is(self._held)

    def _as_it_is_now(self) -> Opened:
        self._check()
        if self._held is None:
            return self._opened
        return self._opened._replace(model=hashed(self._opened.model, self._held))

    def _tokenized(self, file: HypothesisFile) -> dict[str, TokenizedPrompt]:
        self._check()
        return tokenize(file, self._tokenizer, self._opened.model.context)


def _require_none(**given: object) -> None:
    """Refuse arguments that say nothing of a model given this way."""
    for name, value in given.items():
        if value is not None:
            of = "in memory" if name in ("tokenizer", "name") else "that is opened by name"
            raise UsageError(f"{name} is for a model {of}; leave it out.")


def _dtype(name: str) -> Any:
    """One of those that a hypothesis may name, as `held_weights` has checked."""
    return name


def _places(supernode: Supernode, prompt: TokenizedPrompt) -> SupernodePlaces:
    record = supernode.record
    if record.heads:
        raise UsageError(f"{record.name!r} holds heads; an attribution graph is of features alone.")
    if record.at not in prompt.spans:
        raise UsageError(
            f"the prompt has no span {record.at!r}, where the supernode {record.name!r} is; give "
            "the prompt as a mapping that names it."
        )
    found = list(tuples_of(places_of(record, prompt, record.at).where))
    return SupernodePlaces(name=record.name, label=record.label, places=found)
