"""How fast one back end is, measured in a process of its own: a job comes in as JSON, what was measured goes out as JSON.

    python -m matinee.inference.speed < job.json

Two libraries in one process share its threads and its memory, and spoil each other's figures. What a back end does not need is not
imported, so that an export is measured without torch. A job holds:

- `source` and `backend`, as `load_predictor` takes them; or `stock`: `{"folder", "batch_size", "max_length"}`, transformers'
  own `pipeline`;
- `texts`, and `singles`: how many of them are asked one by one;
- `started`: the time at which the process was started, seconds since the epoch.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core.errors import MatineeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    # From texts to the names of their labels.
    Answering = Callable[[Sequence[str]], list[str]]

# Texts that are answered before anything is timed: libraries compile and allocate at the first ones. More than the 32 from which
# on a back end may choose another way to compute.
_WARM_UP = 40


def measure(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured.

    Returns:
        `texts_per_second` over all texts at once, `latencies_ms` of single texts, `peak_memory_mb` (None where the system does
        not say), `load_s` (imports and weights), `first_answer_s` (from the start of the process to the first answer), and the
        `labels` of all texts by name.
    """
    begin = time.perf_counter()
    answer = _stock(job["stock"]) if job.get("stock") else _predictor(job)
    load_s = time.perf_counter() - begin
    texts = job["texts"]
    answer(texts[:1])
    first_answer_s = time.time() - job["started"]
    answer(texts[:_WARM_UP])
    latencies = [1000 * _timed(answer, [text])[0] for text in texts[: job["singles"]]]
    seconds, labels = _timed(answer, texts)
    return {
        "texts_per_second": len(texts) / seconds,
        "latencies_ms": latencies,
        "peak_memory_mb": peak_memory_mb(),
        "load_s": load_s,
        "first_answer_s": first_answer_s,
        "labels": labels,
    }


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has held, in MB; None where the system does not say."""
    status = Path("/proc/self/status")
    if status.is_file():
        # A child's ru_maxrss begins at what its parent held when it was started; this one is the program's own.
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def _timed(answer: Answering, texts: Sequence[str]) -> tuple[float, list[str]]:
    start = time.perf_counter()
    labels = answer(texts)
    return time.perf_counter() - start, labels


def _predictor(job: Mapping[str, Any]) -> Answering:
    from matinee.inference.load import load_predictor
    from matinee.inference.predictor import predict

    predictor = load_predictor(job["source"], job["backend"])

    def answer(texts: Sequence[str]) -> list[str]:
        said = predict(predictor, texts)
        return [said.label_names[label] for label in said.predicted]

    return answer


def _stock(how: Mapping[str, Any]) -> Answering:
    """Return transformers' `pipeline` as people use it; where the folder holds no head of transformers' own, with a random one."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    from matinee.model.quiet import quiet_transformers

    torch.manual_seed(0)
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(how["folder"], trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_pretrained(how["folder"], trust_remote_code=False)
        classify = pipeline("text-classification", model=model, tokenizer=tokenizer)

    def answer(texts: Sequence[str]) -> list[str]:
        options = {"truncation": True, "max_length": how["max_length"], "batch_size": how["batch_size"]}
        return [str(said["label"]) for said in classify(list(texts), **options)]

    return answer


def main() -> int:
    """Read a job from standard input and write what was measured, or `{"error"}`, as the last line of standard output."""
    job = json.load(sys.stdin)
    try:
        result = measure(job)
    except (MatineeError, ImportError) as error:
        result = {"error": " ".join(str(error).split())}
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
