"""`matinee bench`."""

from __future__ import annotations

from typing import Any

import click

from matinee.cli import terminal


@click.command(short_help="Measure how fast each back end is.")
@click.argument("run")
@click.option("--texts", type=int, default=500, show_default=True, metavar="N", help="Texts to measure on, at most.")
@click.option(
    "--data", metavar="DATA", help="Texts to measure on, with labels or without. [default: the run's test texts]"
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME",
    help="Measure this one: torch, torch-bf16, pipeline, or the folder of an export. Repeatable. [default: all there are]",
)
@click.option(
    "--repeats", type=int, default=3, show_default=True, metavar="N", help="Turns of each; medians are shown."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@terminal.offline_option
@terminal.shared_options
def bench(
    run: str,
    texts: int,
    data: str | None,
    backends: tuple[str, ...],
    repeats: int,
    as_json: bool,
    offline: bool,
) -> None:
    """Measure speed, latency, memory and accuracy of each back end of RUN on this machine, beside the stock pipeline.

    Each one runs in a process of its own, in turns with the others, on the same texts. All of them together, on the run's own
    texts, are kept in RUN/bench.json and shown in the report.

    \b
      matinee bench runs/imdb
      matinee bench runs/imdb --backend torch --backend openvino-int8 --texts 200
    """
    import json

    from matinee.workflow import bench as bench_

    result = bench_(run, texts=texts, data=data, backends=backends, repeats=repeats, offline=offline)
    if as_json:
        for row in result.rows:
            terminal.say(json.dumps(row))
        return
    _print(result)
    for note in result.notes:
        terminal.say(note)
    if result.path is not None:
        terminal.say(f"Written to {result.path}")


def _print(result: Any) -> None:
    speed, cost = ["Texts/s", "Speed-up", "p50 ms", "p95 · p99"], ["Memory MB", "Disk MB", "Load s", "First s"]
    header = ["Back end", *speed, *cost, "Right"]
    rows = [
        [
            row["name"],
            _number(row["texts_per_second"], 0 if row["texts_per_second"] >= 100 else 1),
            "–" if row["speedup"] is None else f"{row['speedup']:.1f}×",
            _number(row["latency_ms"]["p50"], 1),
            f"{_number(row['latency_ms']['p95'], 1)} · {_number(row['latency_ms']['p99'], 1)}",
            _number(row["peak_memory_mb"], 0),
            _number(row["size_mb"], 0 if row["size_mb"] >= 10 else 1),
            _number(row["load_s"], 2),
            _number(row["first_answer_s"], 2),
            "–" if row["accuracy"] is None else f"{100 * row['accuracy']:.1f} %",
        ]
        for row in result.rows
    ]
    terminal.print_table(f"{result.n_texts:,} texts, medians; latency of single texts", header, rows)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
