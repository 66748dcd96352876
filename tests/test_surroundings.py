"""What is known of a processor before torch is imported."""

import pytest

import tracer.engine.surroundings as surroundings
from tests.bench import TINY
from tests.records import make_record
from tests.tiny_file import write_tiny
from tracer.cli.plan import _facts
from tracer.engine.cost import ModelSize, PromptSize
from tracer.engine.plan import make_plan
from tracer.engine.surroundings import is_emulated, slow_type, takes_gpu
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import Hypothesis
from tracer.report.sections.provenance import provenance

X86 = "processor : 0\nflags\t\t: fpu avx2 {}\n\nprocessor : 1\nflags\t\t: fpu avx512_bf16\n"
ARM = "processor : 0\nFeatures\t: fp asimd {}\n"


@pytest.mark.parametrize(
    ("dtype", "text", "emulated"),
    [
        ("bfloat16", X86.format(""), True),
        ("bfloat16", X86.format("avx512f avx512_bf16"), False),
        ("bfloat16", X86.format("amx_bf16"), False),
        ("bfloat16", ARM.format("bf16"), False),
        ("bfloat16", ARM.format(""), True),
        ("float16", X86.format("avx512_bf16"), True),
        ("float16", ARM.format("asimdhp"), False),
        ("float32", X86.format(""), False),
        ("bfloat16", "nothing that is known\n", False),
    ],
)
def test_a_type_is_emulated_where_no_flag_names_it(dtype, text, emulated, tmp_path, monkeypatch):
    (tmp_path / "cpu").write_text(text)
    monkeypatch.setattr(surroundings, "_CPU_INFO", tmp_path / "cpu")
    assert is_emulated(dtype, "cpu") is emulated
    assert not is_emulated(dtype, "cuda:0")
    monkeypatch.setattr(surroundings, "_CPU_INFO", tmp_path / "none")
    assert not is_emulated(dtype, "cpu")


def test_auto_takes_a_gpu_where_there_may_be_one_and_torch_can(monkeypatch):
    for may_have, version, takes in [
        (True, "2.13.0", True),
        (True, "2.13.0+cpu", False),
        (False, "2.13.0", False),
    ]:
        monkeypatch.setattr(surroundings, "may_have_gpu", lambda x=may_have: x)
        monkeypatch.setattr(surroundings, "_version", lambda package, x=version: x)
        assert takes_gpu("auto") is takes
        assert takes_gpu("cuda:1") and not takes_gpu("cpu")


def planned(device, dtype="float32"):
    data = TINY | {"model": {"name": "gemma-3-270m", "device": device, "dtype": dtype}}
    sizes = {name: PromptSize(10, {"city": (3, 4), "last": (9, 10)}) for name in TINY["prompts"]}
    size = ModelSize(18, 640, 262_144, 2048, 4, 1, 256, tied=True)
    return make_plan(Hypothesis.model_validate(data), sizes=sizes, model=size)


def test_a_plan_says_where_it_guesses_and_what_is_slow(tmp_path, monkeypatch):
    (tmp_path / "cpu").write_text(X86.format(""))
    monkeypatch.setattr(surroundings, "_CPU_INFO", tmp_path / "cpu")
    assert "a guess: none was measured" in dict(_facts(planned("cuda")))["time"]
    assert "guess" not in dict(_facts(planned("cpu")))["time"]
    monkeypatch.setattr("tracer.engine.plan.takes_gpu", lambda device: device != "cpu")
    assert planned("auto").seconds == planned("cuda").seconds
    slow = dict(_facts(planned("cpu", "bfloat16")))["careful"]
    assert slow.startswith("this processor has no instructions for the type")
    assert "careful" not in dict(_facts(planned("cpu")))


def test_a_model_in_an_emulated_type_is_told_before_it_is_loaded(tiny, tmp_path, monkeypatch):
    weights = pytest.importorskip("tracer.engine.model.weights")
    heard: list[str] = []

    class Heard(weights.Progress):
        def task(self, label, total=None):
            raise InterruptedError(label)

        def note(self, text):
            heard.append(text)

    monkeypatch.setattr(weights, "is_emulated", lambda dtype, device: dtype == "bfloat16")
    spec = read(str(write_tiny(tmp_path, tiny))).hypothesis.model_spec
    for dtype in ("bfloat16", "float32"):
        with pytest.raises(InterruptedError, match="reading"):
            weights.open_weights(spec.model_copy(update={"dtype": dtype}), Heard())
    assert heard == [slow_type("bfloat16")]


@pytest.mark.parametrize(
    ("device", "told"),
    [("cuda:0", "float32, cuda:0; products in full float32, TF32 off"), ("cpu", "float32, cpu")],
)
def test_a_report_says_how_a_gpu_multiplies(device, told):
    record, _ = make_record()
    model = record.model.model_copy(update={"device": device, "dtype": "float32"})
    facts = dict(provenance(record.model_copy(update={"model": model})).facts)
    assert facts["Number type, device"] == told
