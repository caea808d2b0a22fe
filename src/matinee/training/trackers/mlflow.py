"""MLflow: a tracking server, or a SQLite file where `mlflow ui` looks for it."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from matinee.core.errors import NotAvailableError
from matinee.core.files import write_json
from matinee.core.hub import is_offline
from matinee.training.trackers.tracker import environment_defaults, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matinee.core.run import RunFolder
    from matinee.core.settings import Settings
    from matinee.training.trackers.tracker import Status

logger = logging.getLogger(__name__)

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_HERE = (None, "localhost", "127.0.0.1", "::1")
_PARAMS_PER_REQUEST = 100  # more are refused

# MLflow's own 7 retries of 120 seconds keep training waiting for a quarter of an hour where the server is gone.
_CALM = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_SECONDS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class MLflow:
    """A run in the experiment `MLFLOW_EXPERIMENT_NAME` ("matinee" where not set) of the store `MLFLOW_TRACKING_URI`.

    Through a client of its own: a run that the caller's own code may have open is left alone.
    """

    package: ClassVar[str] = "mlflow"

    def __init__(self) -> None:
        self._logged: set[tuple[int, str]] = set()

    def open(self, run: RunFolder, settings: Settings) -> None:
        """Create a run with all settings as parameters, or go on with the one that `mlflow.json` in the run folder names."""
        with _brief():
            from mlflow import MlflowClient

            kept = run.tracker("mlflow")
            known = run.read_optional_json(kept) or {}
            uri, is_ours = _store(known.get("store"))
            if is_offline() and (host := urlsplit(uri).hostname) not in _HERE:
                raise NotAvailableError(f"--offline forbids reaching {host}")
            self._client = MlflowClient(uri)
            if known:
                self._go_on(known["run_id"], run)
                return
            self._run_id = self._client.create_run(self._experiment(), run_name=run.path.name).info.run_id
            # The address of a server stays out of the folder: it may hold a password, and the server may move.
            write_json(kept, {"run_id": self._run_id, **({"store": uri} if is_ours else {})})
            self._keep_params(settings)
        if is_ours:
            # The page is in mlflow alone, not in the smaller mlflow-skinny of the extra.
            logger.info(
                f"MLflow: run {self._run_id}; with mlflow installed, `mlflow ui --backend-store-uri {uri}` shows it"
            )
        else:
            logger.info(f"MLflow: run {self._run_id}")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send what this run does not have yet."""
        with _brief():
            from mlflow.entities import Metric

            new = {name: value for name, value in metrics.items() if (step, name) not in self._logged}
            now = int(time.time() * 1000)
            if new:
                self._client.log_batch(self._run_id, [Metric(name, value, now, step) for name, value in new.items()])
            self._logged |= {(step, name) for name in new}

    def artifacts(self, run: RunFolder) -> None:
        """Upload figures, model and report; each file may take as long as MLflow allows."""
        with environment_defaults(_CALM):
            self._client.log_artifacts(self._run_id, str(run.figures), "figures")
            self._client.log_artifacts(self._run_id, str(run.model), "model")
            self._client.log_artifact(self._run_id, str(run.report))

    def close(self, status: Status) -> None:
        """Set the run's status."""
        with _brief():
            self._client.set_terminated(self._run_id, _STATUS[status])

    def _go_on(self, run_id: str, run: RunFolder) -> None:
        """Take the run up again, and send what the history has and the run lacks: the server may have been away."""
        self._run_id = run_id
        for name in self._client.get_run(run_id).data.metrics:
            self._logged |= {(metric.step, name) for metric in self._client.get_metric_history(run_id, name)}
        self._client.update_run(run_id, status="RUNNING")
        for row in run.read_history():
            self.log(row["step"], numbers(row))

    def _experiment(self) -> str:
        if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return experiment_id
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "matinee"
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _keep_params(self, settings: Settings) -> None:
        from mlflow.entities import Param

        params = [Param(name, str(value)) for name, value in settings.flat().items()]
        for start in range(0, len(params), _PARAMS_PER_REQUEST):
            self._client.log_batch(self._run_id, params=params[start : start + _PARAMS_PER_REQUEST])


@contextmanager
def _brief() -> Iterator[None]:
    """Have MLflow give up soon where nobody answers, and not tell of each attempt."""
    told = logging.getLogger("urllib3.connectionpool")
    before = told.level
    told.setLevel(logging.ERROR)
    try:
        with environment_defaults(_CALM | _SECONDS):
            yield
    finally:
        told.setLevel(before)


def _store(known: Any) -> tuple[str, bool]:
    """Return the store's address, and whether it is our own default: a SQLite file in the working folder, as is MLflow's."""
    import mlflow

    if mlflow.is_tracking_uri_set():
        return mlflow.get_tracking_uri(), False
    return known or f"sqlite:///{(Path.cwd() / 'mlflow.db').as_posix()}", True
