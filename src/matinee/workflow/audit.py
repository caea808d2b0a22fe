"""`matinee audit`: what is wrong with a dataset, before anything is trained on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core import hub
from matinee.core.errors import DataError, MatineeError, NotAvailableError, SettingsError, did_you_mean
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import LINEAR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from matinee.core.settings import Settings, TextSettings
    from matinee.core.types import Dataset
    from matinee.data.audit import Audit, Fixed, Judged, Rows, TokenLengths

    Judge = Callable[[Rows, NDArray[np.int64]], Judged | str]

logger = logging.getLogger(__name__)

BASELINE = "the linear baseline, in five folds"

# Lengths in tokens are measured on so many random texts at most: shares of them are then right within a point.
_MOST_MEASURED = 10_000

# At the start of a training label errors are looked for among so many random texts at most: a few seconds.
_MOST_JUDGED = 10_000

# No text is as long: nothing is cut off.
_NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class DatasetAudit:
    """What is wrong with a dataset.

    Attributes:
        source: Where the dataset was found: `"file"`, `"huggingface-cache"`, `"huggingface-hub"`, `"package-mirror"`.
        summary: Findings, classes, lengths, truncation and likely label errors as plain values, as in `audit.json`.
        fixed: The cleaned copy, None where none was asked for.
    """

    source: str
    summary: dict[str, Any]
    fixed: Fixed | None = None

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What was found, most severe first: code, name, severity, title, n, share, advice, examples."""
        return list(self.summary["findings"])

    @property
    def passed(self) -> bool:
        """Whether there is nothing worse than an `info`."""
        return all(finding["severity"] == "info" for finding in self.findings)


def audit(
    data: str | Path,
    *,
    fix: str | Path | None = None,
    drop_near_duplicates: bool = False,
    drop_label_errors: bool = False,
    run: str | Path | None = None,
    ignore: Sequence[str] = (),
    offline: bool = False,
    flags: Layer | None = None,
    **settings: object,
) -> DatasetAudit:
    """Say what is wrong with a dataset, and write a cleaned copy if asked to. The dataset itself is only read.

    Rows that would stop a training, for want of a text or a label, are findings here.

    Args:
        data: Dataset name, file, glob, folder or hub id.
        fix: Where to write a cleaned copy: a file for a single file, else a folder; a list of what was dropped, changed
            and only listed goes beside it. Neither is ever overwritten.
        drop_near_duplicates: Drop near duplicates from the copy too.
        drop_label_errors: Drop texts whose labels are likely wrong from the copy too.
        run: Rank likely label errors by what this run's classifier said of its validation and test texts, where not given
            by a linear baseline.
        ignore: Codes or names of findings to leave out: `"A305"`, `"html"`.
        offline: Never touch the network.
        flags: Settings as the command line gives them.
        **settings: `text_column`, `label_column`, `encoding`, `encoder`, `max_length`, `long`, `max_windows`, `lowercase`, `seed`.

    Raises:
        MatineeError: Anything that a user can put right; see `matinee.core.errors`.

    Example:
        >>> matinee.audit("reviews.csv", fix="clean.csv").findings[0]["title"]  # doctest: +SKIP
        '12 texts stand with different labels'
    """
    from matinee.data.audit import Request, check_free, read_raw, write_fixed
    from matinee.data.sources import find

    resolved = resolve(*([flags] if flags else []), Layer({**settings, "data": str(data)}))
    _check_ignored(ignore)
    if fix is None and (drop_near_duplicates or drop_label_errors):
        raise SettingsError(
            "--drop-near-duplicates and --drop-label-errors are about the copy that --fix writes: name it."
        )
    options = drop_near_duplicates, drop_label_errors, tuple(ignore)
    request = None if fix is None else Request(Path(fix).expanduser(), *options)
    with hub.offline(offline):
        found = find(resolved.data)
        if request is not None:
            check_free(found, request)
        raw = read_raw(found, resolved.data)
        judge = _judge(resolved, run, None)
        audited = _audit(raw.rows, found.name, resolved, judge, problem=raw.problem, ignore=ignore)
        if request is None:
            return DatasetAudit(found.source, audited.to_json())
        if request.drop_label_errors and audited.errors is None:
            raise DataError(f"--drop-label-errors: none could be looked for. {audited.facts['label_errors']['reason']}")
        fixed = write_fixed(raw, audited, request)
        if found.gap and "test" not in found.tables:
            logger.warning(
                "Hold-outs of %s are blocks of neighbouring rows, for those are alike; of the copy in %s they are random rows.",
                found.name,
                request.output,
            )
        return DatasetAudit(found.source, audited.to_json(), fixed)


def audit_dataset(dataset: Dataset, settings: Settings, *, judged_at_most: int | None = _MOST_JUDGED) -> dict[str, Any]:
    """Return the audit of a dataset that has been loaded, as plain values: what a run keeps as `audit.json`.

    Nothing is fetched: lengths in tokens are left out, with the reason, where the encoder is not on this machine.

    Args:
        dataset: Its splits as they are trained and scored on.
        settings: Encoder, text preparation and seed.
        judged_at_most: Look for label errors among so many random texts at most; None for all.
    """
    from matinee.data.audit import Rows

    judge = _judge(settings, None, judged_at_most)
    return _audit(Rows.of(dataset), dataset.name, settings, judge).to_json()


def _audit(rows: Rows, name: str, settings: Settings, judge: Judge, **more: Any) -> Audit:
    from matinee.data.audit import audit_rows

    return audit_rows(rows, name, judge=judge, tokens=token_lengths(rows.texts, settings), **more)


def _check_ignored(ignore: Sequence[str]) -> None:
    from matinee.data.audit import CHECKS

    known = [*CHECKS, *(check.name for check in CHECKS.values())]
    for code in ignore:
        if code not in known:
            raise SettingsError(
                f"--ignore {code}: there is no such finding.{did_you_mean(code, known)} They are A101 … A501, or names such "
                "as html."
            )


# -- label errors -----------------------------------------------------------------------------------------------------


def _judge(settings: Settings, run: str | Path | None, at_most: int | None) -> Judge:
    """Return who says which labels look wrong: a run's classifier, or the linear baseline."""
    if run is not None:
        return partial(_judged_by_run, folder=RunFolder(Path(run).expanduser()))
    return partial(_judged_by_baseline, seed=settings.training.seed, at_most=at_most)


def _judged_by_baseline(rows: Rows, groups: NDArray[np.int64], *, seed: int, at_most: int | None) -> Judged | str:
    from matinee.data.audit import NO_LABEL, Judged
    from matinee.model.out_of_fold import N_FOLDS, out_of_fold_probabilities

    # An empty text is in the group -1.
    can_be = np.flatnonzero((rows.labels != NO_LABEL) & (groups >= 0))
    if not len(can_be):
        return "No text has a label."
    if at_most is not None and len(can_be) > at_most:
        can_be = np.sort(np.random.default_rng([seed, 11]).choice(can_be, at_most, replace=False))
    can_be = _of_learnable_labels(can_be, rows.labels, groups, N_FOLDS)
    labels = rows.labels[can_be]
    if len(np.unique(labels)) < 2:
        return f"Fewer than two classes have {N_FOLDS} different texts."
    texts = [rows.texts[row] for row in can_be]
    probabilities = out_of_fold_probabilities(texts, labels, len(rows.label_names), groups[can_be], seed=seed)
    return Judged(BASELINE, can_be, probabilities)


def _of_learnable_labels(
    among: NDArray[np.int64], labels: NDArray[np.int64], groups: NDArray[np.int64], fewest: int
) -> NDArray[np.int64]:
    """Return the rows of labels that so many groups of texts have, each group counted under its first text's label."""
    while len(among):
        first = among[np.unique(groups[among], return_index=True)[1]]
        common = np.flatnonzero(np.bincount(labels[first]) >= fewest)
        kept = among[np.isin(labels[among], common)]
        if len(kept) == len(among):
            break
        # Without a rare label's rows, groups may begin with another text.
        among = kept
    return among


def _judged_by_run(rows: Rows, groups: NDArray[np.int64], *, folder: RunFolder) -> Judged | str:  # noqa: ARG001 - the shape of a judge
    from matinee.data.audit import NO_LABEL, Judged
    from matinee.data.overlap import EMPTY, text_digests
    from matinee.evaluation import read_predictions
    from matinee.workflow.fitting import CLASSIFIER

    folder.check_complete()
    said = [each for (_, name), each in read_predictions(folder.predictions).items() if name == CLASSIFIER]
    if set(said[0].label_names) != set(rows.label_names):
        raise DataError(
            f"--run {folder.path}: its labels are {', '.join(said[0].label_names[:10])}; those of the data are "
            f"{', '.join(rows.label_names[:10]) or 'none'}."
        )
    order = [said[0].label_names.index(name) for name in rows.label_names]
    answers = {
        digest: answer
        for each in said
        for digest, answer in zip(
            text_digests(each.texts, "Reading answers"), each.probabilities[:, order], strict=True
        )
    }
    answers.pop(EMPTY, None)
    digests = list(text_digests(rows.texts, "Looking up answers"))
    judged = [row for row, digest in enumerate(digests) if digest in answers and rows.labels[row] != NO_LABEL]
    if not judged:
        raise DataError(f"--run {folder.path}: none of these texts is among its validation and test texts.")
    probabilities = np.array([answers[digests[row]] for row in judged])
    return Judged(f"the classifier of {folder.path}", np.array(judged, dtype=np.int64), probabilities)


# -- tokens -----------------------------------------------------------------------------------------------------------


def token_lengths(texts: Sequence[str], settings: Settings) -> TokenLengths | str:
    """Return how many tokens the encoder makes of the texts, of a sample where they are many, or why nobody knows."""
    from matinee.data.audit import TokenLengths
    from matinee.model.encoders import check_known
    from matinee.tokens import TextPreparation

    name = settings.model.encoder
    check_known(name)
    if name in LINEAR:
        return "A linear classifier reads texts whole."
    try:
        tokenizer = _tokenizer(name)
    except MatineeError as error:
        return str(error)
    rows = np.arange(len(texts))
    if len(rows) > _MOST_MEASURED:
        rows = np.sort(np.random.default_rng([settings.training.seed, 12]).choice(rows, _MOST_MEASURED, replace=False))
    whole: TextSettings = replace(settings.text, max_length=_NO_LIMIT)
    ids = TextPreparation.of(tokenizer, whole, None).encode([texts[row] for row in rows.tolist()])
    n_special = tokenizer.num_special_tokens_to_add(is_pair=False)
    return TokenLengths(
        encoder=name,
        max_length=settings.text.tokens_read(n_special),
        lengths=np.fromiter(map(len, ids), np.int64, len(ids)),
        n_special=n_special,
        rows=rows,
    )


def _tokenizer(name: str) -> Any:
    """Return an encoder's tokenizer, without importing torch where its folder allows that; nothing is fetched.

    Raises:
        NotAvailableError: The encoder is not on this machine.
        RunError: Its folder holds no tokenizer.
    """
    from tokenizers import Tokenizer

    from matinee.model.artifact import load_tokenizer
    from matinee.model.encoders import locate

    with hub.offline():
        try:
            folder, _ = locate(name)
        except NotAvailableError as error:
            raise NotAvailableError(
                f"Encoder {name} is not on this machine: `matinee fetch {name}` brings it."
            ) from error
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Tokenizer.from_str(load_tokenizer(folder).backend_tokenizer.to_str())
