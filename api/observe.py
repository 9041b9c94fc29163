"""What the service says of itself: one JSON line per request, and metrics for Prometheus."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime

import orjson
from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.store import Store, StoreError

REQUESTS = Counter("requests_total", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "request_seconds",
    "Time from a request's head to its answer's end",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

EVERY_S = 30.0  # the database is asked no more often
PATIENCE_S = 3.0  # for a database that does not answer: a scrape has other things to tell
HEALTH = {
    "rmse": "Root mean square error of the forecasts that have come, in SOH",
    "persistence_rmse": "The same, had the last known SOH been the forecast",
    "coverage": "Share of what came within the 90 % interval",
    "bias": "Mean error, in SOH",
}

log = logging.getLogger("battery_forecast.access")
log.propagate = False
log.setLevel(logging.INFO)
log.addHandler(logging.StreamHandler(sys.stdout))

router = APIRouter(include_in_schema=False)


class FleetGauges(Collector):
    """Alerts and model health as gauges; none where the database has no answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: list[GaugeMetricFamily] = []
        self._next = 0.0
        self._is_read = threading.Event()
        self._is_read.set()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        with self._lock:
            if self._is_read.is_set() and time.monotonic() >= self._next:
                self._next = time.monotonic() + EVERY_S
                self._is_read.clear()
                threading.Thread(target=self._read, daemon=True).start()
        return self._known if self._is_read.wait(PATIENCE_S) else []

    def _read(self) -> None:
        try:
            self._known = [self._alerts(), *self._health()]
        except StoreError:
            self._known = []
        finally:
            self._is_read.set()

    def _alerts(self) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily("alerts_open", "Alerts that are open", labels=["kind"])
        for row in self._store.rows("alert_count"):
            gauge.add_metric([row["kind"]], row["open_alerts"])
        return gauge

    def _health(self) -> Iterable[GaugeMetricFamily]:
        rows = self._store.rows("model_health")
        labels = ["model_version", "battery_group"]
        for name, meaning in HEALTH.items():
            gauge = GaugeMetricFamily(f"model_health_{name}", meaning, labels=labels)
            for row in rows:
                if row[name] is not None:
                    gauge.add_metric([row[label] for label in labels], row[name])
            yield gauge


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Give the metrics; those of all workers where PROMETHEUS_MULTIPROC_DIR names a folder."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    fleet = CollectorRegistry()
    fleet.register(request.app.state.fleet)
    said = generate_latest(registry) + generate_latest(fleet)
    return Response(said, media_type=CONTENT_TYPE_LATEST)


class Observer:
    """Counts, times and logs every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            _note(scope, status, time.perf_counter() - began)


def _note(scope: Scope, status: int, seconds: float) -> None:
    # the route, not the path: a client must not be able to make metrics without end
    route = getattr(scope.get("route"), "path", "other").removeprefix("/v1")
    method = scope["method"] if scope["method"] in METHODS else "other"
    REQUESTS.labels(method, route, status).inc()
    DURATION.labels(route).observe(seconds)
    client = scope.get("client")
    log.info(
        orjson.dumps(
            {
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "client": client[0] if client else None,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round(1000 * seconds, 2),
            }
        ).decode()
    )
