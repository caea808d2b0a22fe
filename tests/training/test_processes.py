"""Two processes train what one trains: real ones, which torchrun starts and gloo connects."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from matinee.core.errors import SettingsError
from matinee.core.ranks import check_shares, is_helper, rank, refuse_several, world_size
from matinee.model.precision import best_device
from matinee.training.evaluations import Evaluations
from matinee.training.processes import _check_devices, hand_out
from matinee.training.sampler import LengthWindowSampler, Shares

SCRIPT = Path(__file__).with_name("trainings.py")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
LAUNCHED = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.fixture
def launched(monkeypatch):
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def results(tmp_path_factory, tiny_encoder, tiny_csv):
    """What one process and what two made of the same trainings: results and folder of each."""
    found = []
    for command in ((sys.executable,), TORCHRUN):
        folder = tmp_path_factory.mktemp("trainings")
        done = subprocess.run(
            [*command, str(SCRIPT), str(tiny_encoder), str(tiny_csv), str(folder)],
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"{1 + len(found)} processes" in done.stderr
        found.append((json.loads((folder / "results.json").read_text()), folder))
    # In two trainings of the second process a number runs over, once.
    has_bf16 = "in bf16" in found[0][0]
    assert [done.stderr.count(f"seed {seed} runs over") for seed in (13, 14)] == [int(has_bf16)] * 2
    return found


CASES = [
    *("even", "one text left", "three texts left", "fewer texts than a batch", "one validation text for two"),
    *("two batches of validation and a text", "accumulated", "evaluated within", "in pieces", "short of memory"),
    *("recomputed activations", "frozen", "balanced", "layer by layer", "windows", "soft targets", "augmented"),
    "not averaged, stops early",
]
IN_BF16 = ["in bf16", "loss ran over in the second", "gradient ran over in the second"]
DRAWN = ["mixup", "r-drop and dropout"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_what_one_trains(results, name):
    (one, in_one), (two, in_two) = results
    assert (
        one.keys() == two.keys() == {*CASES, *DRAWN, *(f"{name} again" for name in DRAWN)} | (one.keys() & set(IN_BF16))
    )
    assert one[name]["steps"] == two[name]["steps"]
    assert one[name]["kept_epoch"] == two[name]["kept_epoch"]
    assert [row.keys() for row in one[name]["history"]] == [row.keys() for row in two[name]["history"]]
    for ours, theirs in zip(one[name]["history"], two[name]["history"], strict=True):
        for key, value in ours.items():
            assert theirs[key] == pytest.approx(value, rel=1e-3, abs=1e-4), (ours["step"], key)
    folder = name.replace(" ", "-").replace(",", "")
    before, after = (load_file(path / folder / "kept.safetensors") for path in (in_one, in_two))
    for weight, values in before.items():
        np.testing.assert_allclose(after[weight], values, rtol=1e-3, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_BF16)
def test_two_processes_train_in_bf16_as_one_does_up_to_its_rounding(results, name):
    (one, in_one), (two, in_two) = results
    if name not in one:
        pytest.skip("this machine has no arithmetic for bf16")
    assert one[name]["steps"] == two[name]["steps"]
    for ours, theirs in zip(one[name]["history"], two[name]["history"], strict=True):
        for key in ("loss", "eval_loss"):
            assert theirs.get(key) == pytest.approx(ours.get(key), abs=0.03), (ours["step"], key)
    before, after = (load_file(path / name.replace(" ", "-") / "kept.safetensors") for path in (in_one, in_two))
    gaps = np.concatenate([np.abs(after[weight] - values).ravel() for weight, values in before.items()])
    assert gaps.mean() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_what_two_processes_draw_they_draw_again(results, name):
    (one, _), (two, folder) = results
    assert two[name] == two[f"{name} again"]
    assert two[name] != one[name]
    assert two[name]["steps"] == one[name]["steps"]
    first, second = (load_file(folder / of.replace(" ", "-") / "kept.safetensors") for of in (name, f"{name} again"))
    assert all((first[weight] == values).all() for weight, values in second.items())
    assert two[name]["history"][-1]["eval_loss"] == pytest.approx(one[name]["history"][-1]["eval_loss"], abs=0.2)


@pytest.mark.slow
def test_the_trainings_differ_from_each_other(results):
    """Otherwise that two are alike would say little."""
    last = {name: json.dumps(result["history"][-1]) for name, result in results[0][0].items() if name in CASES}
    alike = {"one text left", "in pieces", "short of memory"}
    assert len(set(last.values())) >= len(last) - len(alike)


@pytest.mark.slow
def test_the_second_process_writes_nothing(results):
    (_, in_one), (_, in_two) = results
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in (in_one, in_two)]
    assert names[0] == names[1]
    assert any(name.endswith("rng_state.pth") for name in names[1])


@given(
    n_texts=st.integers(1, 60), share=st.integers(1, 4), accumulation=st.integers(1, 3), n_processes=st.integers(1, 5)
)
def test_the_shares_of_all_processes_are_each_batch(n_texts, share, accumulation, n_processes):
    batch_size = share * n_processes
    step = batch_size * accumulation
    order = LengthWindowSampler(np.arange(n_texts) % 7, step, seed=3)
    batches = [list(order)[at : at + batch_size] for at in range(0, n_texts, batch_size)]
    shares = [list(Shares(order, batch_size, number, n_processes)) for number in range(n_processes)]
    evaluations = Evaluations(n_texts, step, per_epoch=1)
    assert {len(of) for of in shares} == {len(Shares(order, batch_size, 0, n_processes))} == {len(batches)}
    for at, batch in enumerate(batches):
        of_step = evaluations.n_texts_of_step(1 + at // accumulation)
        is_last = at == len(batches) - 1
        counted = [
            text
            for number, of in enumerate(shares)
            for text in of[at]
            if not (is_last and Shares(order, batch_size, number, n_processes).is_empty(of_step))
        ]
        assert sorted(counted) == sorted(batch)
        assert all(of[at] for of in shares), "without a text a process could not take part"


@given(n_texts=st.integers(1, 200), per_step=st.integers(1, 50), epochs=st.integers(1, 3))
def test_the_texts_of_the_steps_are_those_of_the_epochs(n_texts, per_step, epochs):
    evaluations = Evaluations(n_texts, per_step, per_epoch=1)
    n_steps = -(-n_texts // per_step)
    found = [evaluations.n_texts_of_step(step) for step in range(1, epochs * n_steps + 1)]
    assert sum(found) == epochs * n_texts
    assert found[:n_steps] == [min(per_step, n_texts - at) for at in range(0, n_texts, per_step)]


def test_one_process_is_not_several():
    assert (world_size(), rank(), is_helper()) == (1, 0, False)
    check_shares(15)
    refuse_several("matinee search")


def test_a_process_knows_its_place(launched):
    assert (world_size(), rank(), is_helper()) == (2, 1, True)


@pytest.mark.parametrize("missing", LAUNCHED)
def test_variables_that_others_set_are_no_launch(launched, monkeypatch, missing):
    monkeypatch.delenv(missing)
    assert (world_size(), rank()) == (1, 0)


def test_a_batch_that_does_not_divide_is_refused(launched):
    check_shares(16)
    with pytest.raises(SettingsError, match="--batch-size must be a multiple of the number of processes, 2, got 15"):
        check_shares(15)


@pytest.mark.parametrize("engine", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_engines_that_divide_weights_are_refused(launched, monkeypatch, engine):
    monkeypatch.setenv(f"ACCELERATE_USE_{engine}", "true")
    with pytest.raises(SettingsError, match=f"{engine} divides weights among processes"):
        check_shares(16)


def test_processes_with_and_without_an_accelerator_are_refused(launched, monkeypatch):
    """Each would choose another way to reach the others, and wait for ever."""
    monkeypatch.setenv("RANK", "0")
    store = dist.HashStore()
    store.set("computes on/1", "a GPU")
    with pytest.raises(SettingsError, match="process 0 on .*, process 1 on a GPU"):
        _check_devices(store)
    monkeypatch.setenv("RANK", "1")
    store.set("computes on/0", "a GPU")
    with pytest.raises(SystemExit):
        _check_devices(store)
    store.set("computes on/0", best_device().type)
    _check_devices(store)


def test_what_nobody_leads_is_refused(launched):
    """A training that many processes begin by themselves would be done as often, into the same folder."""
    with pytest.raises(SettingsError, match="train and distill alone train together"):
        hand_out("a task")
    with pytest.raises(SettingsError, match="matinee search cannot be launched as 2 processes"):
        refuse_several("matinee search")
