"""The metrics of a service in Prometheus' format: its requests and renderings, and the queue and the workers."""

import asyncio
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from normlab.store import workers
from normlab.store.database import DATABASE_ERRORS, Database
from service.readiness import Readiness

LAG_INTERVAL_SECONDS = 0.25
LATENCIES = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
COUNTERS = (  # of a worker, by their columns
    ("claims", "Experiments that the worker claimed."),
    ("takeovers", "Expired leases that the worker found."),
    ("refused_writes", "Writes refused because the claim was no longer current."),
    ("steps", "Training steps done."),
)


class PrometheusMetrics:
    """The metrics of one service, apart from those of another one in the same process."""

    def __init__(self, database: Database, readiness: Readiness) -> None:
        self._registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "normlab_request_seconds", "Duration from the headers of a request to the end of its response.",
            ["method", "route", "status"], registry=self._registry, buckets=LATENCIES,
        )  # fmt: skip
        self.render_seconds = Histogram(
            "normlab_render_seconds",
            "Duration of rendering a figure, with waiting for a free process.",
            ["format"],
            registry=self._registry,
            buckets=LATENCIES,
        )
        self._lag_seconds = Histogram(
            "normlab_event_loop_lag_seconds", "Delay of the event loop when it wakes up from a sleep.",
            registry=self._registry, buckets=LATENCIES,
        )  # fmt: skip
        self._registry.register(_DatabaseCollector(database, readiness))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' format. It reads the database."""
        return generate_latest(self._registry)

    async def measure_loop_lag(self) -> None:
        """Measure the event loop's delay several times a second until cancelled."""
        while True:
            asleep = time.perf_counter()
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            self._lag_seconds.observe(max(0.0, time.perf_counter() - asleep - LAG_INTERVAL_SECONDS))


class _DatabaseCollector(Collector):
    """Reads the database at each request for metrics, so every service of one database reports the same numbers."""

    def __init__(self, database: Database, readiness: Readiness) -> None:
        self._database, self._readiness = database, readiness

    def describe(self) -> Iterator[Metric]:
        """Return nothing. Prometheus' registry would otherwise collect, and read the database, to learn the names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of queue and workers, or only that the database does not answer or has another schema."""
        try:
            metrics = list(self._of_queue_and_workers()) if self._readiness.check() is None else []
        except DATABASE_ERRORS:
            metrics = []
        yield GaugeMetricFamily(
            "normlab_database_up",
            "1 if the database answers and has the schema that this service needs.",
            bool(metrics),
        )
        yield from metrics

    def _of_queue_and_workers(self) -> Iterator[Metric]:
        with self._database.reading() as session:
            counts, oldest_seconds = workers.queue_depth(session)
            active, every = workers.active_workers(session), workers.all_workers(session)
        experiments = GaugeMetricFamily("normlab_experiments", "Number of experiments.", labels=["status"])
        for status, count in counts.items():
            experiments.add_metric([status], count)
        yield experiments
        yield GaugeMetricFamily("normlab_oldest_queued_seconds", "Age of the oldest queued experiment.", oldest_seconds)
        yield GaugeMetricFamily("normlab_workers", "Number of active workers.", len(active))
        for name, text in COUNTERS:
            counter = CounterMetricFamily(f"normlab_worker_{name}", text, labels=["worker"])
            for row in every:
                counter.add_metric([row.name], getattr(row, name))
            yield counter
        steps = GaugeMetricFamily("normlab_steps_per_second", "Training steps per second, lately.", labels=["worker"])
        images = GaugeMetricFamily("normlab_images_per_second", "Of the last recorded epoch.", labels=["worker"])
        epochs = GaugeMetricFamily("normlab_epoch_seconds", "Duration of the last recorded epoch.", labels=["worker"])
        for row, _, epoch in active:
            steps.add_metric([row.name], row.steps_per_second)
            if epoch is not None:
                images.add_metric([row.name], epoch.images_per_second)
                epochs.add_metric([row.name], epoch.train_seconds + epoch.test_seconds)
        yield from (steps, images, epochs)
