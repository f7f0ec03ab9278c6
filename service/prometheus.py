"""What the service tells a monitor, in Prometheus' text: of its requests and drawings, of the queue and the workers."""

import asyncio
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from normlab.store import workers
from normlab.store.database import DATABASE_ERRORS, Database
from service.readiness import Readiness

LAG_EVERY_SECONDS = 0.25
LATENCIES = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class PrometheusMetrics:
    """One service's own, apart from any other's in the process."""

    def __init__(self, database: Database, readiness: Readiness) -> None:
        self._registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "normlab_request_seconds", "From a request's head to its answer's end.", ["method", "route", "status"],
            registry=self._registry, buckets=LATENCIES,
        )  # fmt: skip
        self.render_seconds = Histogram(
            "normlab_render_seconds", "RenderPool a figure.", ["format"], registry=self._registry, buckets=LATENCIES
        )
        self._lag_seconds = Histogram(
            "normlab_event_loop_lag_seconds", "How much later than asked the event loop woke up.",
            registry=self._registry, buckets=LATENCIES,
        )  # fmt: skip
        self._registry.register(_OfTheDatabase(database, readiness))

    def text(self) -> bytes:
        """All of it as Prometheus reads it; asks the database."""
        return generate_latest(self._registry)

    async def watch_the_loop(self) -> None:
        """Until cancelled."""
        while True:
            asleep = time.perf_counter()
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self._lag_seconds.observe(max(0.0, time.perf_counter() - asleep - LAG_EVERY_SECONDS))


class _OfTheDatabase(Collector):
    """Asked at each reading, so that every service of a database says the same."""

    def __init__(self, database: Database, readiness: Readiness) -> None:
        self._database, self._readiness = database, readiness

    def describe(self) -> Iterator[Metric]:
        """Nothing: to know the names is no reason to ask the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The queue and the workers, or that the database is away or of another schema."""
        try:
            found = list(self._of_queue_and_workers()) if self._readiness.check() is None else []
        except DATABASE_ERRORS:
            found = []
        yield GaugeMetricFamily(
            "normlab_database_up", "Whether it answers and has the schema that this service knows.", bool(found)
        )
        yield from found

    def _of_queue_and_workers(self) -> Iterator[Metric]:
        with self._database.reading() as session:
            counts, oldest = workers.queue_depth(session)
            there, counted = workers.active_workers(session), workers.all_workers(session)
        experiments = GaugeMetricFamily("normlab_experiments", "How many there are.", labels=["status"])
        for status, count in counts.items():
            experiments.add_metric([status], count)
        yield experiments
        yield GaugeMetricFamily("normlab_oldest_queued_seconds", "Since the oldest queued one was posted.", oldest)
        yield GaugeMetricFamily("normlab_workers", "How many were seen lately.", len(there))
        for name, text in (
            ("claims", "Experiments claimed."),
            ("takeovers", "Experiments found with a lease that had run out."),
            ("refused_writes", "Writes refused because the claim was no longer current."),
            ("steps", "Training steps done."),
        ):
            counter = CounterMetricFamily(f"normlab_worker_{name}", text, labels=["worker"])
            for row in counted:
                counter.add_metric([row.name], getattr(row, name))
            yield counter
        steps = GaugeMetricFamily("normlab_steps_per_second", "Of training, lately.", labels=["worker"])
        images = GaugeMetricFamily("normlab_images_per_second", "In the last epoch recorded.", labels=["worker"])
        epochs = GaugeMetricFamily("normlab_epoch_seconds", "Of the last epoch recorded.", labels=["worker"])
        for row, _, epoch in there:
            steps.add_metric([row.name], row.steps_per_second)
            if epoch is not None:
                images.add_metric([row.name], epoch.images_per_second)
                epochs.add_metric([row.name], epoch.train_seconds + epoch.test_seconds)
        yield from (steps, images, epochs)
