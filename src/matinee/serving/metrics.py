"""What is counted while serving, in Prometheus's format."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServerMetrics:
    """Counters of one server. Their names are those of the metrics, without `matinee_`; durations are in seconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "matinee"}
        self.requests = Counter("requests", "Requests by route and status", ["route", "status"], **own)
        self.request_seconds = Histogram(
            "request_seconds", "From the request's first byte to the answer's last", ["route"], buckets=_SECONDS, **own
        )
        self.texts = Counter("texts", "Texts answered", **own)
        self.batch_texts = Histogram("batch_texts", "Texts computed at once", buckets=_TEXTS, **own)
        self.batch_seconds = Histogram("batch_seconds", "Time to compute a batch", buckets=_SECONDS, **own)
        self.explanations = Counter("explanations", "Texts explained", **own)
        self.waiting = Gauge("waiting_texts", "Texts that wait to be computed", **own)
        self.model = Info("model", "What answers", **own)

    def computed(self, n_texts: int, seconds: float) -> None:
        """Count a batch."""
        self.texts.inc(n_texts)
        self.batch_texts.observe(n_texts)
        self.batch_seconds.observe(seconds)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(route, str(status)).inc()
        self.request_seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all of it, as `GET /metrics` gives it."""
        return bytes(generate_latest(self.registry))
