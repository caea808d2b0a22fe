"""TensorBoard: event files in the run folder, to be read with `tensorboard --logdir`."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from matinee.core.settings import LINEAR
from matinee.training.checkpoints import latest_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matinee.core.run import RunFolder
    from matinee.core.settings import Settings
    from matinee.training.trackers.tracker import Status

_PNG_SIZE = slice(16, 24)  # of the header chunk, which comes first: ISO/IEC 15948, 11.2.2


class TensorBoard:
    """Writes event files, in the training's own thread; none for a linear classifier, which has no curves.

    tensorboardX's `SummaryWriter` writes in another one: where that dies of a full disk or a drive that is gone, its
    queue fills, and training waits for ever.
    """

    package: ClassVar[str] = "tensorboardX"

    def __init__(self) -> None:
        self._events: Any = None
        self._step = 0

    def open(self, run: RunFolder, settings: Settings) -> None:
        """Begin an event file; what stands in earlier ones after the checkpoint that training goes on from is void."""
        if settings.model.encoder in LINEAR:
            return  # without tensorboardX: it imports torch
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.summary import text

        checkpoint = latest_checkpoint(run.checkpoints)
        run.tensorboard.mkdir(exist_ok=True)
        # The name holds the second; files are read in the order of their names.
        self._events = EventsWriter(str(run.tensorboard / "events"), f".{time.time_ns() % 10**9:09d}")
        start = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2]) + 1
        self._write(start, session_log=SessionLog(status=SessionLog.START))
        if checkpoint is None:
            recipe = yaml.safe_dump(settings.flat(), sort_keys=False, allow_unicode=True)
            self._write(0, summary=text("settings", "".join(f"    {line}\n" for line in recipe.splitlines())))
        self._events.flush()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write scalars, as `train/loss` and `eval/accuracy`: TensorBoard groups by what stands before the stroke."""
        if self._events is None:
            return
        from tensorboardX.summary import scalar

        for name, value in metrics.items():
            self._write(step, summary=scalar(_tag(name), value))
        self._events.flush()
        self._step = step

    def artifacts(self, run: RunFolder) -> None:
        """Write the figures; model and report stand beside the event files already."""
        if self._events is None:
            return
        for figure in sorted(run.figures.glob("*.png")):
            self._write(self._step, summary=_image(figure))
        self._events.flush()

    def close(self, status: Status) -> None:  # noqa: ARG002 - event files have no word for it
        """Close the event file."""
        if self._events is not None:
            self._events.close()

    def _write(self, step: int, **what: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._events.write_event(Event(wall_time=time.time(), step=step, **what))


def _tag(name: str) -> str:
    group, _, rest = name.partition("_")
    return f"{group}/{rest}" if group in {"eval", "test"} else f"train/{name}"


def _image(path: Path) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary

    png = path.read_bytes()
    width, height = struct.unpack(">II", png[_PNG_SIZE])
    image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=f"figures/{path.stem}", image=image)])
