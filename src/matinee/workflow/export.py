"""`matinee export`."""

from __future__ import annotations

import logging
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.backends import CASCADE, ONNX, OPENVINO
from matinee.core.errors import DataError, MatineeError, NotAvailableError, RunError, SettingsError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import LINEAR
from matinee.workflow.fitting import CLASSIFIER, TFIDF, fit_linear

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from matinee.core.settings import DataSettings
    from matinee.core.types import Dataset, Predictions
    from matinee.exporting import Source
    from matinee.inference.backends.torch import TorchPredictor

logger = logging.getLogger(__name__)

PRECISIONS = {OPENVINO: ("fp32", "bf16", "int8"), ONNX: ("fp32", "int8")}
"""What each back end can be exported in; the last but one is what it is without being asked."""

INSTALL = 'pip install "matinee[export]"'
CALIBRATION_TEXTS, BOUND = 300, 0.2
"""Texts that int8 takes its ranges from, and points that a cascade may cost on validation, without being asked."""

_READING = ("text_column", "label_column", "missing", "encoding")
_LIBRARIES = {OPENVINO: ("onnx", "onnxscript", "openvino"), ONNX: ("onnx", "onnxscript", "onnxruntime")}


@dataclass(frozen=True)
class Exported:
    """An export that passed its proof.

    Attributes:
        path: Its folder, which `matinee predict` and `matinee.load` open.
        parity: The proof, as `parity.json` holds it.
    """

    path: Path
    parity: dict[str, Any]

    @property
    def loose(self) -> list[str]:
        """The default limits that it is beyond, in words: `backend="auto"` does not answer with it where there are any."""
        from matinee.model.exported import beyond_defaults

        return beyond_defaults(self.parity)


def export(
    run: str | Path,
    to: str = OPENVINO,
    *,
    precision: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    max_accuracy_drop: float = 0.5,
    max_flips: float = 1.0,
    calibration_texts: int | None = None,
    data: str | Path | None = None,
    cascade: bool = False,
    cheap: str | Path | None = None,
    bound: float | None = None,
    offline: bool = False,
    flags: Layer | None = None,
    **settings: object,
) -> Exported:
    """Write a classifier for a faster library, and prove that it says the same; one that does not is not kept.

    What needed looser limits than those without being asked is answered from by its folder or by its back end's name, and not
    by `backend="auto"`.

    Args:
        run: Run folder; with `data` and `out` a model folder or hub id will do.
        to: `"openvino"` or `"onnx"`.
        precision: `"fp32"`, `"bf16"` (OpenVINO alone) or `"int8"`; where not given bf16 for OpenVINO, fp32 for ONNX, and int8
            for a cascade's encoder.
        out: The folder; `RUN/exports/<to>-<precision>` where not given.
        overwrite: Replace an export that is there, of a cascade also one of its encoder that is out of date.
        max_accuracy_drop: Largest fall in accuracy on held-out texts, in points.
        max_flips: Largest share of held-out texts that get another label, in per cent; not of a cascade.
        calibration_texts: Training texts that int8 for OpenVINO takes its ranges from; 300 where not given.
        data: Held-out texts in place of the run's own test texts, with or without labels; of a cascade with. Those that the
            run was trained on are left out.
        cascade: Make a cascade: a linear classifier before the exported encoder.
        cheap: Run whose linear classifier is the cascade's; the run's own tf-idf baseline, fitted again, where not given.
        bound: Accuracy that the cascade may cost on validation, in points; 0.2 where not given.
        offline: Never touch the network.
        flags: Settings as the command line gives them.
        **settings: How to read `data`: text_column, label_column, missing, encoding.

    Raises:
        RunError: The export does not say the same, the folder is taken, or the run is not complete.
        SettingsError: A setting is wrong or says nothing here, there is nothing to export, or `cheap` does not fit.
        DataError: `data` cannot be read, or proves nothing.
        NotAvailableError: A library is missing, or the architecture cannot be converted.
        StorageError: The write was refused.
    """
    from matinee.exporting import Limits

    _check_numbers(calibration_texts, max_accuracy_drop=max_accuracy_drop, max_flips=max_flips, bound=bound)
    chosen = _precision(to, precision, cascade=cascade)
    own = {"cheap": cheap, "bound": bound, "calibration_texts": calibration_texts, **settings}
    given = {name for name, value in (own | dict(flags.values if flags else {})).items() if value is not None}
    _check_heard(given, cascade=cascade, int8=(to, chosen) == (OPENVINO, "int8"), data=data is not None)
    resolved = resolve(*([flags] if flags else []), Layer(settings)).data
    with hub.offline(offline):
        job = _Job(
            source_name=str(run),
            to=to,
            precision=chosen,
            limits=Limits(max_accuracy_drop / 100, max_flips / 100),
            calibration_texts=calibration_texts or CALIBRATION_TEXTS,
            data=data,
            reading=resolved,
            needs_labels=cascade,
            overwrite=overwrite,
        )
        target = job.target(out, cascade=cascade)
        check_free(target, overwrite=overwrite)
        with job.run.locked() if job.run else nullcontext():
            job.sweep()
            at_most = (BOUND if bound is None else bound) / 100
            parity = job.cascade(target, cheap, at_most) if cascade else job.encoder(target)
            job.refresh(target)
    return Exported(target, parity)


def check_free(target: Path, *, overwrite: bool) -> None:
    """Raise RunError if an export cannot be put there, before anything is spent on it."""
    from matinee.model.exported import PARITY, is_export

    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not target.is_dir():
        raise RunError(f"{target} is a file, not a folder: choose another --out.")
    if not is_export(target) and not (target / PARITY).is_file():
        raise RunError(f"{target} is not empty and not an export: choose another --out, it is never overwritten.")
    if not overwrite:
        raise RunError(f"{target} holds an export: choose another --out, or pass --overwrite to replace it.")


def _check_numbers(calibration_texts: int | None, **percentages: float | None) -> None:
    for name, value in percentages.items():
        if value is not None and not 0 <= value <= 100:
            raise SettingsError(f"--{name.replace('_', '-')} must lie between 0 and 100, got {value:g}.")
    if calibration_texts is not None and calibration_texts < 1:
        raise SettingsError(f"--calibration-texts must be at least 1, got {calibration_texts}.")


def _check_heard(given: Collection[str], *, cascade: bool, int8: bool, data: bool) -> None:
    """Raise SettingsError where something was given that nothing would come of."""
    needed = {
        "cheap": (cascade, "is of a cascade: pass --cascade too"),
        "bound": (cascade, "is of a cascade: pass --cascade too"),
        "calibration_texts": (int8, "is of int8 for OpenVINO: pass --to openvino --int8"),
        **dict.fromkeys(_READING, (data, "says how to read --data: pass that too")),
    }
    for name, (heard, hint) in needed.items():
        if name in given and not heard:
            raise SettingsError(f"--{name.replace('_', '-')} {hint}, or leave it out.")


def _precision(to: str, precision: str | None, *, cascade: bool) -> str:
    """Return the precision, checked against what the back end can do and what is installed."""
    if to not in PRECISIONS:
        raise SettingsError(f"--to must be one of {', '.join(PRECISIONS)}, got {to!r}.")
    chosen = precision or ("int8" if cascade else PRECISIONS[to][-2])
    if chosen not in PRECISIONS[to]:
        raise SettingsError(f"--to {to} has --precision {', '.join(PRECISIONS[to])}, not {chosen!r}.")
    needed = (*_LIBRARIES[to], *(["nncf"] if (to, chosen) == (OPENVINO, "int8") else []))
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise NotAvailableError(f"Exporting to {to} in {chosen} needs {', '.join(missing)}: {INSTALL}")
    return chosen


@dataclass(frozen=True)
class _Job:
    """What is exported how; what it takes is fetched when it is first needed."""

    source_name: str
    to: str
    precision: str
    limits: Any
    calibration_texts: int
    data: str | Path | None
    reading: DataSettings
    needs_labels: bool
    overwrite: bool

    @cached_property
    def model(self) -> Path:
        from matinee.inference.load import find_model
        from matinee.model.artifact import INFO, ClassifierInfo

        folder = find_model(self.source_name)
        if (folder / INFO).is_file() and (kind := ClassifierInfo.read(folder).kind) in LINEAR:
            raise SettingsError(f"{self.source_name} is a {kind} classifier: it is fast as it is, and is not exported.")
        return folder

    @cached_property
    def run(self) -> RunFolder | None:
        model, run = self.model, RunFolder(Path(self.source_name).expanduser())
        return run if run.is_run and run.model == model else None

    @cached_property
    def predictor(self) -> TorchPredictor:
        from matinee.core.backends import TORCH
        from matinee.inference import load_predictor
        from matinee.inference.backends.torch import TorchPredictor

        predictor = load_predictor(self.source_name, backend=TORCH)
        assert isinstance(predictor, TorchPredictor)  # noqa: S101 - narrows a type
        return predictor

    @cached_property
    def dataset(self) -> Dataset:
        from matinee.workflow.datasets import reload_dataset

        assert self.run is not None  # noqa: S101 - narrows a type
        return reload_dataset(self.run)

    @cached_property
    def source(self) -> Source:
        from matinee.exporting import HeldOut, Source, check_against

        if self.run is None:
            return self._from_file()
        stored = self._stored()
        validation = check_against(self.predictor, stored["validation"])
        held_out = (
            HeldOut("test", check_against(self.predictor, stored["test"]))
            if self.data is None
            else HeldOut(Path(self.data).name, self._read(self.data))
        )
        return Source(self.model, self.predictor, held_out, validation, self._calibration)

    def target(self, out: str | Path | None, *, cascade: bool) -> Path:
        name = CASCADE if cascade else f"{self.to}-{self.precision}"
        if self.run is None:
            if cascade:
                raise SettingsError(f"A cascade is made from a run folder, and {self.source_name} is none.")
            if out is None or self.data is None:
                raise SettingsError(
                    f"{self.source_name} is no run folder, which would hold test texts: give held-out ones with --data FILE "
                    "(labels are welcome), and a folder with --out DIR."
                )
            return Path(out).expanduser()
        return Path(out).expanduser() if out else self.run.exports / name

    def encoder(self, target: Path) -> dict[str, Any]:
        from matinee.exporting import export_encoder

        return export_encoder(self.source, target, self.to, self.precision, self.limits)

    def cascade(self, target: Path, cheap: str | Path | None, bound: float) -> dict[str, Any]:
        from dataclasses import replace

        from matinee.exporting import export_cascade

        assert self.run is not None  # noqa: S101 - narrows a type
        linear = None if cheap is None else self._linear(cheap)
        if linear is not None:
            self._check_untold(linear, str(cheap))
        encoder = self.run.exports / f"{self.to}-{self.precision}"
        is_current = _is_current(encoder, self.source)
        if not is_current:
            _check_out_of_date(encoder, overwrite=self.overwrite)
        # All that may be refused comes before the encoder, which takes minutes and stays.
        write_cheap = self._fitted() if linear is None else _copier(linear)
        if not is_current:
            self.encoder(encoder)
            self.refresh(encoder)
        logger.info(f"The cascade's encoder: {encoder}, an export by itself")
        limits = replace(self.limits, flips=None)
        return export_cascade(self.source, target, encoder, write_cheap, bound, limits)

    def sweep(self) -> None:
        """Remove what a killed export left in the run; one that was finished gets its name."""
        from matinee.model.artifact import finish_replacing

        if self.run is not None:
            finish_replacing(self.run.exports)
            for left in self.run.exports.glob(".*"):
                shutil.rmtree(left, ignore_errors=True)

    def refresh(self, target: Path) -> None:
        """Have the run's page and manifest know of the export."""
        from matinee.workflow.report import refresh_page

        if self.run is not None and target.resolve().is_relative_to(self.run.exports.resolve()):
            refresh_page(self.run)
            self.run.refresh_manifest()

    def _stored(self) -> dict[str, Predictions]:
        """Return what the run's classifier said of its test and validation texts."""
        from matinee.evaluation import read_predictions
        from matinee.exporting.proof import take_rows

        assert self.run is not None  # noqa: S101 - narrows a type
        stored = read_predictions(self.run.predictions)
        for split in ("test", "validation"):
            if (split, CLASSIFIER) not in stored:
                raise RunError(f"{self.run.predictions} holds no answers to {split} texts: train the run again.")
        return {split: take_rows(stored[split, CLASSIFIER]) for split in ("test", "validation")}

    def _calibration(self) -> tuple[str, list[str]]:
        """Return training texts of the run; validation texts where they cannot be had any more."""
        try:
            return "training", _some(self.dataset.splits["train"].texts, self.calibration_texts)
        except MatineeError as error:
            logger.warning(f"{error} int8 takes its ranges from validation texts in place of training texts.")
            return "validation", _some(self._stored()["validation"].texts, self.calibration_texts)

    def _from_file(self) -> Source:
        """Return a model without a run: a part of the texts given for it calibrates int8, the rest proves."""
        from matinee.exporting import HeldOut, Source
        from matinee.exporting.proof import split_rows

        assert self.data is not None  # noqa: S101 - `target` has refused that
        read, name = self._read(self.data), Path(self.data).name
        if (self.to, self.precision) != (OPENVINO, "int8"):
            return Source(self.model, self.predictor, HeldOut(name, read), None, lambda: (name, []))
        if len(read) < 2:
            raise DataError(f"{self.data} holds {len(read)} text: int8 takes at least 2, to calibrate and to prove.")
        first, rest = split_rows(read, min(self.calibration_texts, len(read) // 2))
        return Source(self.model, self.predictor, HeldOut(name, rest), first, lambda: (name, first.texts))

    def _read(self, data: str | Path) -> Predictions:
        """Return what torch says of those texts of a file that it was not trained on.

        Their labels are with them where the file has any that the classifier knows.
        """
        from matinee.data import read_split, read_texts
        from matinee.exporting.proof import take_rows
        from matinee.inference import predict

        try:
            labelled = read_split(str(data), self.reading, self.predictor.label_names)
            ids, texts, labels = labelled.ids, labelled.texts, labelled.labels
        except DataError as error:
            if self.needs_labels:
                raise DataError(
                    f"{error} A cascade is proved by its accuracy: give labelled texts with --data."
                ) from error
            read = read_texts(str(data), self.reading)
            logger.warning(f"{error} The labels of {data} are left aside: nothing is said of accuracy.")
            ids, texts, labels = read.ids, read.texts, None
        rows = self._untold_rows(texts)
        ids, texts = [ids[row] for row in rows], [texts[row] for row in rows]
        return take_rows(predict(self.predictor, texts, ids=ids, labels=None if labels is None else labels[rows]))

    def _untold_rows(self, texts: list[str]) -> list[int]:
        """Return which texts the classifier was not trained on, as far as its run's folder is at hand to say so."""
        from matinee.data import find_seen

        rows = [row for row, seen in enumerate(find_seen(_noted(self.model), texts)) if not seen]
        if not rows:
            raise DataError(
                f"{self.source_name} was trained on all texts of {self.data}: they prove nothing, give others."
            )
        if n_seen := len(texts) - len(rows):
            logger.warning(
                f"{n_seen:,} of the {len(texts):,} texts of {self.data} are among those the classifier was trained on: "
                "the proof leaves them out."
            )
        return rows

    def _linear(self, cheap: str | Path) -> Path:
        """Return the model folder of a linear classifier with the labels of the run's."""
        from matinee.inference.load import find_model
        from matinee.model.artifact import INFO, ClassifierInfo

        model = find_model(cheap)
        info = ClassifierInfo.read(model) if (model / INFO).is_file() else None
        if info is None or info.kind not in LINEAR:
            kind = "transformer" if info is None else info.kind
            raise SettingsError(f"--cheap takes a run of {' or '.join(LINEAR)}, and {cheap} is a {kind} classifier.")
        expected = ClassifierInfo.read(self.model).label_names
        if info.label_names != expected:
            raise SettingsError(
                f"--cheap {cheap} has other labels ({', '.join(info.label_names[:10])}) than the encoder "
                f"({', '.join(expected[:10])}): give another one."
            )
        return model

    def _check_untold(self, linear: Path, name: str) -> None:
        """Raise SettingsError where a linear classifier was trained on what the cascade is chosen or proved by."""
        from matinee.data import find_seen

        validation, proving = self.source.validation, self.source.held_out.reference
        assert validation is not None  # noqa: S101 - a run has it
        n_chosen, n_proving = (sum(find_seen(_noted(linear), of.texts)) for of in (validation, proving))
        if n_chosen or n_proving:
            raise SettingsError(
                f"--cheap {name} was trained on {n_chosen:,} of the texts that the cascade is chosen by and {n_proving:,} of those "
                f"that prove it: it would flatter. Train one with the data, --split-seed and sizes of {self.source_name}."
            )

    def _fitted(self) -> Callable[[Path], None]:
        """Fit the run's tf-idf baseline again; return what writes it into a folder."""
        from matinee.model.artifact import ClassifierInfo, save_linear
        from matinee.workflow.calibrating import calibrate

        assert self.run is not None  # noqa: S101 - narrows a type
        settings = self.run.read_config()
        linear = fit_linear(self.dataset, settings, TFIDF)
        calibrated = calibrate(linear, self.dataset.splits["validation"], settings.training)
        info = ClassifierInfo(
            TFIDF, TFIDF, linear.label_names, temperature=calibrated.temperature, threshold=linear.threshold
        )
        return lambda folder: save_linear(folder, linear.model, info, calibrated.validation)


def _noted(model: Path) -> Path:
    """Return where the run of a model folder notes what it was trained on; no such file where it is no run's."""
    return RunFolder(model.absolute().parent).seen


def _copier(model: Path) -> Callable[[Path], None]:
    """Return what copies a model folder to where it is told."""

    def copy(folder: Path) -> None:
        shutil.copytree(model, folder)

    return copy


def _check_out_of_date(encoder: Path, *, overwrite: bool) -> None:
    """Raise RunError if a cascade's encoder cannot be made anew where another one stands."""
    check_free(encoder, overwrite=True)
    if encoder.exists() and not overwrite:
        raise RunError(
            f"{encoder} was made from other weights or is damaged, and a cascade needs it: pass --overwrite to make it anew."
        )


def _is_current(folder: Path, source: Source) -> bool:
    """Return whether a folder holds a whole, proved export of the classifier as it is now."""
    from matinee.model.exported import ExportInfo, check_export, read_parity

    try:
        check_export(folder)
        return bool(read_parity(folder).get("passed")) and ExportInfo.read(folder).source == source.hashes()
    except RunError:
        return False


def _some(texts: list[str], most: int) -> list[str]:
    """Return some of the texts, drawn the same way each time."""
    import numpy as np

    rows = np.random.default_rng(0).permutation(len(texts))[:most]
    return [texts[row] for row in sorted(rows)]
