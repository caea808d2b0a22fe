"""How fast an epoch is: the stock way against matinee, with the same encoder, texts, batches of 32 and 256 tokens at most.

python benchmarks/train_speed.py [--encoders minilm distilbert] [--repeats 3] [--compile] [--dry-run]

An epoch is 1,024 IMDB reviews: 32 steps. Both sides run in turns, each time in a fresh process, on a part of the epoch that
stands for all of it (`timed` in the results says which):

- stock: every step costs the same, since all texts are padded to 256; the first of a few is left out.
- matinee: a whole epoch, in its own order, over 256 or 512 of the reviews, spread by length like all; every step counts.

DistilBERT is full size and has random weights, on which speed does not depend. Then, in one process, each part alone: the
stock step, and one switch after the other until it is matinee's; then frozen embeddings, which matinee has on request
(`ablation`). What accuracy.py compares differs in length, batch and learning rate: it tells quality, not at this speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from machine import store

EPOCH, BATCH = 1024, 32
N_STEPS = EPOCH // BATCH
EPOCHS = 3
SIDES = ("stock", "matinee", "two frozen layers")
TARGETS = {"minilm": 5.0, "distilbert": 4.0}
STOCK_STEPS = {"minilm": 4, "distilbert": 3}
MATINEE_TEXTS = {"minilm": 512, "distilbert": 256}
ROUNDS = {"minilm": 3, "distilbert": 2}


# -- one side, in a process of its own --------------------------------------------------------------------------------


def run_cell(name, encoder, sample, compiled=False):
    """Measure one thing here."""
    import steps

    given = json.loads(Path(sample).read_text(encoding="utf-8"))
    if name == "peak":
        import torch

        return {"fp32": steps.peak_gflops(torch.float32), "bf16": steps.peak_gflops(torch.bfloat16)}
    if name == "ablation":
        return ablation(encoder, given["texts"], given["labels"], given["rounds"], compiled)
    measure = {
        "stock": steps.stock_steps,
        "matinee": steps.matinee_steps,
        "two frozen layers": partial(steps.matinee_steps, freeze="2"),
    }[name]
    rows = given["stock" if name == "stock" else "matinee"]
    return measure(encoder, [given["texts"][row] for row in rows], [given["labels"][row] for row in rows])


def in_fresh_process(name, encoder, sample, *, compiled=False):
    """Return what a cell measures in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, __file__, "--cell", name, str(encoder), str(sample), str(result)]
        subprocess.run([*command, *(["--compile"] if compiled else [])], check=True, stdout=subprocess.DEVNULL)
        return json.loads(result.read_text(encoding="utf-8"))


# -- each part alone --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """How a step is computed.

    Attributes:
        batches: `"padded"` to 256, `"random"` ones padded to their longest, or `"windows"` of like length.
    """

    name: str
    batches: str = "padded"
    bf16: bool = False
    attention_dropout: bool = True
    kernels: str = "torch"
    frozen_embeddings: bool = False
    compiled: bool = False


def variants(compiled):
    """Return the stock step, and then each with one switch more."""
    found = [Variant("stock")]
    for name, change in (
        ("padding per batch", {"batches": "random"}),
        ("length windows", {"batches": "windows"}),
        ("bf16 autocast", {"bf16": True}),
        ("no attention dropout", {"attention_dropout": False}),
        ("byte-drawn dropout", {"kernels": "dropout"}),
        ("own attention", {"kernels": "all"}),
        ("frozen embeddings", {"frozen_embeddings": True}),
    ):
        found.append(replace(found[-1], name=name, **change))
    if compiled:
        # In the place of our kernels, which inductor cannot look into.
        place = [variant.name for variant in found].index("no attention dropout")
        found.append(replace(found[place], name="torch.compile, without our kernels", compiled=True))
    return found


class Bench:
    """One model and its optimizer for all variants with the same attention dropout."""

    def __init__(self, encoder, *, attention_dropout):
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        config = AutoConfig.from_pretrained(encoder)
        if not attention_dropout:
            for name in ("attention_probs_dropout_prob", "attention_dropout"):
                if hasattr(config, name):
                    setattr(config, name, 0.0)
        torch.manual_seed(0)
        self.model = AutoModelForSequenceClassification.from_pretrained(encoder, config=config).train()
        self.compiled = None
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6, fused=True)

    def step(self, variant, batch):
        """Take one training step as the Trainer does; return its seconds."""
        import torch

        model = self.model
        if variant.compiled:
            if self.compiled is None:
                self.compiled = torch.compile(model, dynamic=True)
            model = self.compiled
        with ExitStack() as stack:
            stack.enter_context(kernels(self.model, variant))
            stack.enter_context(frozen_embeddings(self.model) if variant.frozen_embeddings else nullcontext())
            start = time.perf_counter()
            with torch.autocast("cpu", dtype=torch.bfloat16) if variant.bf16 else nullcontext():
                loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            return time.perf_counter() - start


@contextmanager
def kernels(model, variant):
    """Have dropout, or dropout and attention, computed by matinee."""
    from torch import nn

    from matinee.model.dropout import ByteDropout
    from matinee.model.fast import fast_kernels

    if variant.kernels == "all":
        with fast_kernels(model, "bf16"):
            yield
        return
    replaced = []
    if variant.kernels == "dropout":
        parents = [(parent, name, child) for parent in model.modules() for name, child in parent.named_children()]
        replaced = [each for each in parents if type(each[2]) is nn.Dropout]
    for parent, name, child in replaced:
        setattr(parent, name, ByteDropout(child.p).train())
    try:
        yield
    finally:
        for parent, name, child in replaced:
            setattr(parent, name, child)


@contextmanager
def frozen_embeddings(model):
    """Leave the embeddings as they are, as the setting `freeze` does."""
    model.base_model.embeddings.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        model.base_model.embeddings.requires_grad_(requires_grad=True)


def batches_of(kind, encoder, texts, labels, n):
    """Return `n` batches that stand for an epoch's: of all its batches in order of length, evenly spaced ones."""
    import torch
    from transformers import AutoTokenizer

    from matinee.tokens import LENGTH_STEP, pad
    from matinee.training.sampler import LengthWindowSampler

    tokenizer = AutoTokenizer.from_pretrained(encoder)
    ids = tokenizer([text.lower() for text in texts], truncation=True, max_length=256)["input_ids"]
    lengths = [len(row) for row in ids]
    if kind == "windows":
        order = np.array(list(LengthWindowSampler(lengths, BATCH, seed=0)))
    else:
        order = np.random.default_rng(0).permutation(len(ids))
    rows = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    rows.sort(key=lambda batch: max(lengths[row] for row in batch))
    chosen = [rows[int((place + 0.5) * len(rows) / n)] for place in range(n)]
    made = []
    for batch in chosen:
        multiple = 256 if kind == "padded" else LENGTH_STEP
        arrays = [np.array(ids[row], dtype=np.int32) for row in batch]
        input_ids, mask = pad(arrays, tokenizer.pad_token_id, multiple=multiple, at_most=256)
        given = {"input_ids": input_ids, "attention_mask": mask, "labels": np.array([labels[row] for row in batch])}
        made.append({name: torch.from_numpy(array) for name, array in given.items()})
    return made


def ablation(encoder, texts, labels, n_rounds, compiled):
    """Time a step of each variant in turns; each round has a batch of another length.

    The first step of a variant is not counted: a quarter of a batch, which takes memory and makes kernels.
    """
    from steps import matrices_of

    kinds = {kind: batches_of(kind, encoder, texts, labels, n_rounds) for kind in ("padded", "random", "windows")}
    benches = {with_it: Bench(encoder, attention_dropout=with_it) for with_it in (True, False)}
    seconds, compiling = {}, None
    for variant in variants(compiled):
        start = time.perf_counter()
        quarter = {name: tensor[: BATCH // 4] for name, tensor in kinds[variant.batches][-1].items()}
        benches[variant.attention_dropout].step(variant, quarter)
        if variant.compiled:
            # Of a dynamic graph a second shape may make a second one.
            benches[variant.attention_dropout].step(variant, kinds[variant.batches][0])
            compiling = round(time.perf_counter() - start, 1)
        seconds[variant.name] = []
    for number in range(n_rounds):
        for variant in variants(compiled):
            batch = kinds[variant.batches][number]
            seconds[variant.name].append(benches[variant.attention_dropout].step(variant, batch))
    return {
        "rows": ablation_rows(seconds),
        "compile_seconds": compiling,
        "adamw_seconds": adamw_seconds(benches[False].model),
        "matrices": matrices_of(benches[False].model),
    }


def ablation_rows(seconds):
    """Return for each variant, in order: seconds per epoch, its own factor, and the factor of all up to it."""
    rows, per_epoch = [], {name: statistics.mean(of) * N_STEPS for name, of in seconds.items()}
    names = list(per_epoch)
    for number, name in enumerate(names):
        # torch.compile takes the place of our kernels: it is compared with the step that has everything but them.
        before = "no attention dropout" if name.startswith("torch.compile") else names[max(0, number - 1)]
        rows.append(
            {
                "switched_on": name,
                "seconds_per_epoch": round(per_epoch[name], 1),
                "own_factor": round(per_epoch[before] / per_epoch[name], 3),
                "factor_so_far": round(per_epoch[names[0]] / per_epoch[name], 3),
                "step_seconds": [round(value, 3) for value in seconds[name]],
            }
        )
    return rows


def adamw_seconds(model):
    """Return the seconds of an update by the plain and by the fused AdamW; the Trainer takes the fused one by itself."""
    import torch

    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    found = {}
    for name, options in {"plain": {"foreach": False}, "fused": {"fused": True}}.items():
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, **options)
        optimizer.step()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            optimizer.step()
            times.append(time.perf_counter() - start)
        found[name] = round(statistics.median(times), 4)
    return found


# -- all of it --------------------------------------------------------------------------------------------------------


def write_sample(path, reviews, lengths, name):
    """Write what the cells of an encoder read: the epoch's texts, and which of them either side is timed on."""
    from steps import spread_by_length

    given = {
        "texts": [text for text, _ in reviews],
        "labels": [label for _, label in reviews],
        "stock": spread_by_length(lengths, BATCH * STOCK_STEPS[name]).tolist(),
        "matinee": spread_by_length(lengths, MATINEE_TEXTS[name]).tolist(),
        "rounds": ROUNDS[name],
    }
    path.write_text(json.dumps(given), encoding="utf-8")


def compare(name, encoder, sample, peak, n_repeats, *, compiled):
    """Time both sides in turns, and the parts."""
    from steps import share_of_peak, summary

    taken = {side: [] for side in SIDES}
    for number in range(n_repeats):
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            taken[side].append(in_fresh_process(side, encoder, sample))
            print(f"{name}, {side}: {taken[side][-1]['step_seconds']}", flush=True)
    per_epoch = {
        side: [
            statistics.median(run["step_seconds"][1:]) * N_STEPS
            if side == "stock"
            # Frozen layers are read once for all epochs, of which the recipe has three.
            else statistics.mean(run["step_seconds"]) * N_STEPS
            + run["reading_seconds"] * EPOCH / MATINEE_TEXTS[name] / EPOCHS
            for run in runs
        ]
        for side, runs in taken.items()
    }
    ratios = {
        side: [old / new for old, new in zip(per_epoch["stock"], per_epoch[side], strict=True)] for side in SIDES[1:]
    }
    stock, own = taken["stock"][-1], taken["matinee"][-1]
    return {
        "seconds_per_epoch": {side: summary(values) for side, values in per_epoch.items()},
        "times_faster": {side: summary(of) for side, of in ratios.items()},
        "target": TARGETS[name],
        "target_met": {side: statistics.median(of) >= TARGETS[name] for side, of in ratios.items()},
        "peak_memory_gb": {side: max(run["peak_memory_gb"] for run in runs) for side, runs in taken.items()},
        "share_of_peak": {
            "stock, of fp32": share_of_peak(stock, peak["fp32"]),
            "matinee, of bf16": share_of_peak(own, peak["bf16"], first=0),
        },
        "padding_share": {
            side: round(1 - sum(run["n_tokens"]) / sum(b * t for b, t in run["shapes"]), 3)
            for side, run in (("stock", stock), ("matinee", own))
        },
        "timed": {
            "stock": f"the median of {STOCK_STEPS[name] - 1} steps after a first one, times {N_STEPS}",
            "matinee": f"an epoch over {MATINEE_TEXTS[name]} of {EPOCH} texts, spread by length, times {EPOCH // MATINEE_TEXTS[name]}",
            "ablation": f"{ROUNDS[name]} steps each, in turns, on batches from the shortest to the longest; their mean, times {N_STEPS}",
            "two frozen layers": f"as matinee, with --freeze 2; reading the texts once takes its share, one of {EPOCHS} epochs",
            "prepared": "matinee takes HTML tags out of the texts, which shortens them a little; the stock way leaves them in",
            "left_out": "evaluation, checkpoints, and what comes before the first step: tokenising, the fitted head",
        },
        "ablation": in_fresh_process("ablation", encoder, sample, compiled=compiled),
        "step_seconds": {side: [run["step_seconds"] for run in runs] for side, runs in taken.items()},
        "matinee_step_lengths": [length for _, length in own["shapes"]],
    }


def main():
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description="Time training, the stock way and with matinee.")
    parser.add_argument("--encoders", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="try torch.compile too, minutes more; stored apart")
    parser.add_argument("--dry-run", action="store_true", help="print, and store nothing")
    parser.add_argument("--cell", nargs=4, metavar=("NAME", "ENCODER", "SAMPLE", "RESULT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.cell:
        name, encoder, sample, result = asked.cell
        Path(result).write_text(json.dumps(run_cell(name, encoder, sample, asked.compile)), encoding="utf-8")
        return
    from matinee.core.schema import Layer, resolve
    from matinee.data import load_dataset
    from matinee.model.artifact import load_tokenizer
    from matinee.model.encoders import locate
    from steps import random_distilbert

    settings = resolve(Layer({"data": "imdb", "train_size": EPOCH, "validation_size": 200, "test_size": 2000}))
    train = load_dataset(settings.data, seed=0).splits["train"]
    reviews = list(zip(train.texts, train.labels.tolist(), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        folders = {"minilm": locate("minilm")[0], "distilbert": Path(folder) / "distilbert"}
        if "distilbert" in asked.encoders:
            random_distilbert(folders["minilm"], folders["distilbert"])
        tokenizer = load_tokenizer(folders["minilm"])
        lengths = [min(len(tokenizer.tokenize(text)) + 2, 256) for text in train.texts]
        samples = {name: Path(folder) / f"{name}.json" for name in asked.encoders}
        for name, path in samples.items():
            write_sample(path, reviews, lengths, name)
        peak = in_fresh_process("peak", "none", next(iter(samples.values())))
        found = {
            "texts": {"dataset": "imdb", "epoch": EPOCH, "batch": BATCH, "max_length": 256, "seed": 0},
            "peak_gflops": peak,
            "encoders": {
                name: compare(name, folders[name], samples[name], peak, asked.repeats, compiled=asked.compile)
                for name in asked.encoders
            },
        }
    show(found)
    if not asked.dry_run:
        store("train-speed-compile" if asked.compile else "train-speed", found)


def show(found):
    """Print what matters."""
    for name, of in found["encoders"].items():
        times, faster = of["seconds_per_epoch"], of["times_faster"]
        print(
            f"\n{name}: {times['stock']['median']} s an epoch the stock way, {times['matinee']['median']} s with matinee:"
        )
        for side, ratio in faster.items():
            met = "met" if of["target_met"][side] else "MISSED"
            print(
                f"{side}: {ratio['median']} times faster ({ratio['min']} to {ratio['max']}), target {of['target']}: {met}"
            )
        print(f"peak memory {of['peak_memory_gb']} GB, share of the machine's peak {of['share_of_peak']}")
        for row in of["ablation"]["rows"]:
            print(
                f"  {row['switched_on']:<36} {row['seconds_per_epoch']:8.1f} s  x {row['own_factor']:.2f}  {row['factor_so_far']:6.2f}"
            )
    print(f"\npeak GFLOP/s: {found['peak_gflops']}")


if __name__ == "__main__":
    main()
