"""How many requests `matinee serve` answers, beside FastAPI around transformers' pipeline (naive_server.py).

python benchmarks/serve_load.py [--clients 1 8 32 128] [--seconds 15] [--repeats 2] [--short-requests 20000] [--parts …]

The classifier is that of predict_speed.py: MiniLM fine-tuned on IMDB reviews of at most 256 tokens, which is served from its fastest
proved export (cascades and other classifiers left out). Clients are coroutines of one process on the same machine, so they take some of
its time from both sides alike; each asks anew as soon as it is answered. Both servers take turns; medians over the repeats are stored.

- `single`: one review a request; `batch`: sixteen.
- `memory`: short texts, one a request, from 32 clients: the server's memory after a tenth of the requests and after all.

Loopback only, and bounded: nothing but the two servers is ever asked.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from machine import store
from predict_speed import MAX_LENGTH, prepared, reviews

HERE = Path(__file__).resolve().parent
MATINEE = Path(sys.executable).parent / "matinee"
BATCH = 16
AT_CLIENTS, TIMES_FASTER = 32, 6.0
SHORT = "A warm, funny film that I would gladly see again."
JSON = {"Content-Type": "application/json"}
PARTS = {"single": 1, "batch": BATCH}


@contextmanager
def serving(side, run):
    """Run one of the servers; give its process and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = [MATINEE, "serve", run, "--port", port, "--backend", "openvino", "-q"]
    command = own if side == "matinee" else [sys.executable, HERE / "naive_server.py", run / "model", MAX_LENGTH, port]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/predict"
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"the {side} server ended")
            try:
                ask_once(address)
                break
            except OSError:
                time.sleep(0.1)
        yield process, address
    finally:
        process.terminate()
        process.wait(60)


def ask_once(address):
    """Ask for a batch of answers, so that nothing is set up while the clock runs."""
    body = json.dumps({"texts": [SHORT] * 40}).encode()
    request = urllib.request.Request(address, body, JSON)
    with urllib.request.urlopen(request, timeout=120) as response:
        response.read()


async def load(address, bodies, n_clients, *, seconds=None, n_requests=None, at=None):
    """Ask with so many clients until the time is up, or so many requests are answered.

    Returns:
        Seconds of each request answered, how many failed, how often one was told to come again later (429,
        and did), and the time that all took. `at` maps a number of requests answered to what is called then.
    """
    took, n_failed, n_turned_away, at = [], 0, 0, dict(at or {})
    bodies = itertools.cycle(bodies)
    start = time.perf_counter()
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        n_asked = 0

        async def ask(session):
            """Ask once; return the seconds after which to ask again, 0 where there was an answer."""
            async with session.post(address, data=next(bodies), headers=JSON) as answer:
                await answer.read()
                if answer.status == 429:
                    return float(answer.headers["Retry-After"])
                answer.raise_for_status()
                return 0

        async def client():
            nonlocal n_asked, n_failed, n_turned_away
            while (seconds is None or time.perf_counter() - start < seconds) and (
                n_requests is None or n_asked < n_requests
            ):
                n_asked += 1
                begun, failed = time.perf_counter(), False
                try:
                    while (wait := await ask(session)) > 0:
                        n_turned_away += 1
                        await asyncio.sleep(wait)
                except (aiohttp.ClientError, TimeoutError, ValueError):
                    failed = True
                n_failed += failed
                took.extend([] if failed else [time.perf_counter() - begun])
                if call := at.pop(len(took), None):
                    call()

        await asyncio.gather(*(client() for _ in range(n_clients)))
    return took, n_failed, n_turned_away, time.perf_counter() - start


def row_of(took, n_failed, n_turned_away, seconds, n_texts):
    """Return what is stored of a load."""
    marks = statistics.quantiles(took, n=100, method="inclusive")
    return {
        "requests_per_second": len(took) / seconds,
        "texts_per_second": n_texts * len(took) / seconds,
        **{f"p{mark}_ms": 1000 * marks[mark - 1] for mark in (50, 95, 99)},
        "requests": len(took),
        "failed": n_failed,
        "turned_away": n_turned_away,
    }


def median_of(rows):
    """Return the median of each figure; failures and requests are summed."""
    summed = {"requests", "failed", "turned_away"}
    return {
        name: sum(row[name] for row in rows)
        if name in summed
        else round(statistics.median(row[name] for row in rows), 2)
        for name in rows[0]
    }


def memory_mb(process):
    """Return a process's resident memory; None where the system does not say."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def measure_load(run, given):
    """Return the rows of both servers, by part and number of clients."""
    texts = reviews(run, 400)
    rows = {}
    for _ in range(given.repeats):
        for side in ("naive", "matinee"):
            with serving(side, run) as (_process, address):
                for part, n_clients in itertools.product(given.parts, given.clients):
                    size = PARTS[part]
                    bodies = [json.dumps({"texts": texts[i : i + size]}).encode() for i in range(0, len(texts), size)]
                    found = asyncio.run(load(address, bodies, n_clients, seconds=given.seconds))
                    row = row_of(*found, size)
                    print(side, part, n_clients, {name: round(value, 1) for name, value in row.items()}, flush=True)
                    rows.setdefault(f"{part}, {n_clients} clients", {}).setdefault(side, []).append(row)
    return {name: {side: median_of(of) for side, of in sides.items()} for name, sides in rows.items()}


def measure_memory(run, n_requests):
    """Return the server's memory under many short requests."""
    body, seen = json.dumps({"texts": [SHORT]}).encode(), []
    with serving("matinee", run) as (process, address):
        note = lambda: seen.append(memory_mb(process))  # noqa: E731
        work = load(address, [body], AT_CLIENTS, n_requests=n_requests, at={n_requests // 10: note})
        found = asyncio.run(work)
        note()
    return {**row_of(*found, 1), "mb_after_a_tenth": round(seen[0]), "mb_after_all": round(seen[1])}


def compared(rows, memory):
    """Return how the servers compare, and whether the targets are met."""
    found, targets = {}, {}
    for name, sides in rows.items():
        found[name] = {
            "times_the_throughput": round(sides["matinee"]["texts_per_second"] / sides["naive"]["texts_per_second"], 2),
            "p95_ratio": round(sides["matinee"]["p95_ms"] / sides["naive"]["p95_ms"], 3),
        }
    name = f"single, {AT_CLIENTS} clients"
    if name in found:
        targets[f"{TIMES_FASTER:g} times the throughput at {AT_CLIENTS} clients"] = (
            found[name]["times_the_throughput"] >= TIMES_FASTER
        )
        targets["a lower p95 there"] = found[name]["p95_ratio"] < 1
    failed = sum(sides["matinee"]["failed"] for sides in rows.values()) + memory["failed"]
    targets["no failed request"] = failed == 0
    targets["memory grows by less than 5 %"] = memory["mb_after_all"] < 1.05 * memory["mb_after_a_tenth"]
    return {"compared": found, "targets": targets}


def main():
    """Prepare, measure, print, store."""
    parser = argparse.ArgumentParser(description="Load matinee's server and a naive one.")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--short-requests", type=int, default=20_000)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    run = prepared("minilm")
    rows = measure_load(run, given)
    memory = measure_memory(run, given.short_requests)
    figures = {
        "seconds_each": given.seconds,
        "repeats": given.repeats,
        "rows": rows,
        "memory": memory,
        **compared(rows, memory),
    }
    print(json.dumps(figures, indent=2))
    store("serve-load", figures)


if __name__ == "__main__":
    main()
