"""The engine against Hugging Face with plain PyTorch hooks, one row at a time."""

import pytest
import torch

import tracer.engine.forward
import tracer.engine.memory
from tests.bench import ATOL, logits_by_hand, make_bench
from tracer.engine.batches import BatchLimit, Row, batch_limit
from tracer.engine.forward import read_of_rows, run_rows
from tracer.engine.memory import in_halves
from tracer.errors import EngineError

ROWS = [
    {(0, 3, 1): 2.0, (1, 4, 5): -1.0},
    {(1, 4, 7): 0.5},
    {(0, 2, 0): 0.0, (0, 2, 3): 1.5, (1, 3, 3): 4.0},
    {},
]


def all_logits(bench, rows, limit=64):
    clean = bench.clean["dallas"]
    logits = torch.zeros(len(rows), clean.logits.numel())
    for measured in run_rows(bench.model, bench.basis, clean, rows, BatchLimit(limit)):
        logits[measured.rows] = measured.logits
    return logits


def test_rows_equal_a_full_pass_with_pytorch_hooks(bench):
    ours = all_logits(bench, [Row(values) for values in ROWS])
    theirs = torch.stack([logits_by_hand(bench, "dallas", values) for values in ROWS])
    torch.testing.assert_close(ours, theirs, atol=ATOL, rtol=0)


@pytest.mark.parametrize("freeze", ["none", "attention", "all", "residual"])
def test_a_batch_equals_one_by_one(bench, freeze):
    rows = [Row(values, freeze) for values in ROWS]
    torch.testing.assert_close(
        all_logits(bench, rows), all_logits(bench, rows, limit=1), atol=ATOL, rtol=0
    )


@pytest.mark.parametrize("freeze", ["none", "attention", "all", "residual"])
def test_setting_features_to_what_they_are_changes_nothing(bench, freeze):
    clean = bench.clean["dallas"]
    sham = {(1, 4, i): float(clean.activation(1, 4)[i]) for i in range(6)}
    logits = all_logits(bench, [Row(sham, freeze)])
    torch.testing.assert_close(logits[0], clean.logits, atol=ATOL, rtol=0)


def test_direct_effects_are_linear_in_the_clamps(bench):
    clean = bench.clean["dallas"]
    now = float(clean.activation(0, 4)[2])
    first, second = {(0, 4, 2): now + 1.0}, {(1, 4, 3): 2.0}
    doubled = {(0, 4, 2): now + 2.0}
    rows = [Row(values, "all") for values in (first, second, first | second, doubled)]
    one, other, both, twice = all_logits(bench, rows) - clean.logits
    torch.testing.assert_close(both, one + other, atol=ATOL, rtol=0)
    torch.testing.assert_close(twice, 2 * one, atol=ATOL, rtol=0)


def test_with_all_outputs_held_an_earlier_token_writes_nothing_to_the_logits(bench):
    clean = bench.clean["dallas"]
    rows = [Row(values, "residual") for values in ({(0, 2, 0): 3.0}, {(1, 3, 3): 4.0})]
    logits = all_logits(bench, rows)
    torch.testing.assert_close(logits, clean.logits.expand_as(logits), atol=ATOL, rtol=0)


def test_with_all_outputs_held_the_last_token_writes_along_the_residual_stream(tiny_llama):
    """Δ logits = W_U · (γ ⊙ write / rms), by hand."""
    bench = make_bench(tiny_llama)
    clean = bench.clean["dallas"]
    last = len(clean.ids) - 1
    value = float(clean.activation(0, last)[2]) + 1.5
    rows = [Row({(0, last, 2): value}, "residual")]
    direct = all_logits(bench, rows)[0] - clean.logits
    model = bench.model._bridge.original_model
    seen = []
    handle = model.model.norm.register_forward_pre_hook(lambda m, args: seen.append(args[0][0, -1]))
    with torch.no_grad():
        bench.model.forward(clean.ids, [])
    handle.remove()
    rms = (seen[0].square().mean() + model.config.rms_norm_eps).sqrt()
    write = 1.5 * bench.basis.W_dec(0, torch.tensor([2]), 0)[0]
    by_hand = model.lm_head.weight @ (model.model.norm.weight * write / rms)
    torch.testing.assert_close(direct, by_hand, atol=ATOL, rtol=1e-4)


def test_frozen_attention_keeps_an_earlier_clamp_from_moving_patterns(bench):
    """A value written at the last position can move only what that position reads of itself."""
    none, frozen = all_logits(bench, [Row(ROWS[2]), Row(ROWS[2], "attention")])
    assert not torch.allclose(none, frozen, atol=1e-4)


def test_activations_come_back_clamped_reacting_or_clean(bench):
    clean = bench.clean["dallas"]
    read = ((0, 3, 1), (1, 4, 5), (0, 1, 2))
    row = Row({(0, 3, 1): 2.0}, read=read)
    measured = next(run_rows(bench.model, bench.basis, clean, [row], BatchLimit(4)))
    clamped, reacting, earlier = measured.activations[0].tolist()
    assert clamped == 2.0
    assert reacting == pytest.approx(
        logits_by_hand(bench, "dallas", row.values, read=(1, 4, 5)), abs=ATOL
    )
    assert earlier == pytest.approx(float(clean.activation(0, 1)[2]), abs=ATOL)


EXHAUSTED = [
    torch.OutOfMemoryError("full"),
    MemoryError(),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
]


@pytest.mark.parametrize("error", EXHAUSTED, ids=repr)
def test_out_of_memory_halves_the_batch_and_goes_on(error, bench, monkeypatch):
    real = tracer.engine.forward._run_batch

    def scarce(model, basis, clean, numbers, rows):
        if len(rows) > 2:
            raise error
        return real(model, basis, clean, numbers, rows)

    rows = [Row(values) for values in ROWS]
    expected = all_logits(bench, rows)
    monkeypatch.setattr(tracer.engine.forward, "_run_batch", scarce)
    limit = BatchLimit(64)
    clean = bench.clean["dallas"]
    found = {
        n: row
        for m in run_rows(bench.model, bench.basis, clean, rows, limit)
        for n, row in zip(m.rows, m.logits, strict=True)
    }
    assert limit.rows == 2
    assert limit.halved == 1
    torch.testing.assert_close(torch.stack([found[n] for n in range(4)]), expected)


def test_what_is_read_of_a_batch_counts_to_it(bench):
    """Memory that runs out while logits are read halves the batch, too."""
    limit, seen = BatchLimit(64), []

    def read(measured):
        seen.append(len(measured.rows))
        if len(measured.rows) > 1:
            raise torch.OutOfMemoryError("full")
        return measured.rows

    rows, clean = [Row(values) for values in ROWS], bench.clean["dallas"]
    found = list(read_of_rows(bench.model, bench.basis, clean, rows, limit, read))
    assert sorted(n for numbers in found for n in numbers) == [0, 1, 2, 3]
    assert seen[:3] == [4, 2, 1] and limit.rows == 1


def test_prompts_that_memory_does_not_hold_together_are_passed_by_halves(monkeypatch):
    freed = []
    monkeypatch.setattr(tracer.engine.memory, "free_memory", lambda: freed.append(1))

    def run(items):
        if len(items) > 2:
            raise RuntimeError("CUDA error: out of memory")
        return [10 * item for item in items]

    assert in_halves(range(7), run) == [0, 10, 20, 30, 40, 50, 60]
    assert len(freed) == 3
    with pytest.raises(RuntimeError, match="shapes"):
        in_halves(range(2), lambda items: (_ for _ in ()).throw(RuntimeError("shapes")))


def test_other_errors_are_ours(bench, monkeypatch):
    def wrong(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(tracer.engine.forward, "_run_batch", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        all_logits(bench, [Row(ROWS[0]), Row(ROWS[1])])


def test_out_of_memory_with_one_row_is_a_sentence(bench, monkeypatch):
    def never(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(tracer.engine.forward, "_run_batch", never)
    with pytest.raises(EngineError, match="out of memory with a single row of prompt 'dallas'"):
        all_logits(bench, [Row(ROWS[0])])


def test_logits_that_are_not_finite_are_an_error(bench):
    with pytest.raises(EngineError, match="not finite"):
        all_logits(bench, [Row({(0, 3, 1): float("nan")})])


def test_batch_limit_follows_the_budget(bench):
    clean = bench.clean["dallas"]
    assert batch_limit(bench.model, clean, budget=1).rows == 1
    assert batch_limit(bench.model, clean).rows == 256


def test_two_models_of_other_architectures_agree_too(tiny_llama):
    bench = make_bench(tiny_llama)
    ours = all_logits(bench, [Row(values) for values in ROWS])
    theirs = torch.stack([logits_by_hand(bench, "dallas", values) for values in ROWS])
    torch.testing.assert_close(ours, theirs, atol=ATOL, rtol=0)
