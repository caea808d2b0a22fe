"""`matinee serve`."""

from __future__ import annotations

import ipaddress
import logging
import re
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee._version import __version__
from matinee.core import hub
from matinee.core.backends import AUTO, CASCADE, TORCH
from matinee.core.errors import NotAvailableError, SettingsError
from matinee.core.run import RunFolder
from matinee.workflow.explain import QUICK_PASSES, QUICK_STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matinee.inference import Predictor
    from matinee.inference.load import Chosen
    from matinee.serving.app import Served

logger = logging.getLogger(__name__)

_NEEDED = ("fastapi", "uvicorn", "prometheus_client")
_KEY, _ORIGIN = re.compile(r"[\x21-\x7e]{8,}"), re.compile(r"https?://[^/\s]+")


def serve(
    run: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    backend: str = AUTO,
    api_key: str | None = None,
    origins: Sequence[str] = (),
    hosts: Sequence[str] = (),
    offline: bool = False,
    debug: bool = False,
    ready: Callable[[str], None] = lambda address: None,  # noqa: ARG005 - nobody listens
) -> None:
    """Answer over HTTP, and show the demo page, until SIGINT or SIGTERM; what was accepted by then is still answered.

    Args:
        run: Run folder, model folder, the folder of an export, or hub id.
        host: Where to listen; on a loopback address requests under another name than this machine's own and `hosts` are refused.
        port: Of it; 0 takes one that is free.
        backend: What computes the answers: see `matinee.load`.
        api_key: What requests must bring as `Authorization: Bearer KEY`; None: nothing.
        origins: Origins whose pages may call the API from a browser.
        hosts: Names to answer to, say that of a proxy; elsewhere than on a loopback address all where none is given.
        offline: Never touch the network.
        debug: Log tracebacks of what nobody expected: they may hold texts.
        ready: Called with the server's address once it answers.

    Raises:
        NotAvailableError: What serving needs is not installed.
        SettingsError: The address cannot be listened at, or the key is too short.
        RunError: There is no classifier in the folder.
    """
    absent = [name for name in _NEEDED if find_spec(name) is None]
    if absent:
        raise NotAvailableError(f'Serving needs {" and ".join(absent)}: pip install "matinee[serve]".')
    if not 0 <= port <= 65_535:
        raise SettingsError(f"--port must lie between 0 and 65535, got {port}.")
    if api_key is not None and not _KEY.fullmatch(api_key):
        raise SettingsError("The key must be at least 8 letters, digits and signs of ASCII, without spaces.")
    if wrong := [each for each in origins if each != "*" and not _ORIGIN.fullmatch(each)]:
        raise SettingsError(f"--cors takes origins such as https://example.org, got {wrong[0]!r}.")
    from matinee.serving.app import create_app
    from matinee.serving.door import LOCAL_HOSTS
    from matinee.serving.server import address_of, bind
    from matinee.serving.server import run as run_

    with bind(host, port) as listening, hub.offline(offline):
        address = listening.getsockname()[0]
        local = _is_local(address)
        names = {*LOCAL_HOSTS, *map(str.lower, hosts), host.lower(), f"[{address}]" if ":" in address else address}
        if not local and api_key is None:
            logger.warning(
                "Whoever reaches this machine can ask the classifier: set MATINEE_API_KEY to have them send a key."
            )
        served = open_served(run, backend)
        app = create_app(served, key=api_key, origins=origins, hosts=names if local or hosts else None, debug=debug)
        run_(app, listening, lambda: ready(address_of(listening)))


def open_served(run: str | Path, backend: str = AUTO) -> Served:
    """Return a classifier with all that the server says of it. Raises as `matinee.load` does."""
    from matinee.inference import choose_classifier
    from matinee.serving.app import Served

    chosen = choose_classifier(run, backend)
    predictor = chosen.open()
    predictor.probabilities(["Ready?"])  # the first answer sets much up, and no client shall wait for it

    @cache
    def explainer() -> Predictor:
        return _explainer(run, chosen)

    def explain(text: str, label: str | None) -> dict[str, Any]:
        from matinee.inference.explain import explain as explain_

        (found,) = explain_(explainer(), [text], label=label, most_steps=QUICK_STEPS, most_passes=QUICK_PASSES)
        return {
            "text": found.text,
            "method": found.method,
            "words": _parts(found.words),
            "sentences": _parts(found.sentences),
        }

    folder = RunFolder(Path(run).expanduser())
    about = _about(run, chosen, predictor, folder)
    preparation = getattr(predictor, "preparation", None)
    most_tokens = None if preparation is None else preparation.settings.tokens_read()
    return Served(predictor, explain, about, folder.report if about["report"] else None, most_tokens)


def _is_local(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _explainer(run: str | Path, chosen: Chosen) -> Predictor:
    """Return a classifier of its own for explanations: PyTorch, which has gradients, where it says the same and can be had."""
    from matinee.inference import load_predictor

    if chosen.backend == CASCADE:
        return replace(chosen, predictor=None).open()
    try:
        return load_predictor(run, backend=TORCH)
    except (SettingsError, NotAvailableError):  # an export, or no torch
        return load_predictor(run)


def _parts(parts: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"text": part.text, "start": part.start, "end": part.end, "contribution": round(float(part.contribution), 6)}
        for part in parts
        if part.read
    ]


def _about(run: str | Path, chosen: Chosen, predictor: Predictor, folder: RunFolder) -> dict[str, Any]:
    """Return what `GET /model` gives."""
    from matinee.model.artifact import INFO, ClassifierInfo

    info = ClassifierInfo.read(chosen.folder) if (chosen.folder / INFO).is_file() else None
    preparation = getattr(predictor, "preparation", None)
    card = chosen.folder / "README.md" if not folder.is_run else folder.model / "README.md"
    return {
        "name": folder.path.resolve().name if folder.path.exists() else str(run),
        "labels": list(predictor.label_names),
        "encoder": str(run) if info is None else info.encoder,
        "backend": chosen.backend,
        "precision": chosen.precision,
        "max_length": None if preparation is None else preparation.settings.max_length,
        "metrics": _metrics(folder),
        "card": card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None,
        "report": folder.is_run and folder.report.is_file(),
        "version": __version__,
    }


def _metrics(folder: RunFolder) -> dict[str, Any] | None:
    """Return how good a run was on its test texts; None where nothing says."""
    test = (folder.read_optional_json(folder.metrics) or {}).get("test") if folder.is_run else None
    if test is None:
        return None
    kept = ("value", "low", "high")
    scores = {name: {key: test[name].get(key) for key in kept} for name in ("accuracy", "f1") if name in test}
    return {**scores, "n": test["n"]}
