"""Metrics and logs: what a service says of itself to Prometheus and to whoever reads its standard output."""

import logging
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# Upper bounds in seconds: fine where an answer from memory lies, coarse up to the slowest that anyone waits for.
_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LABELS = ("method", "route", "status")

Observe = Callable[[int, float], None]


class RequestMeter(Collector):
    """Request durations by method, route template and status.

    Plain counters of our own, read when Prometheus asks: prometheus-client's Histogram takes its lock for each request.
    """

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], dict[int, list[float]]] = {}

    def series(self, method: str, route: str) -> Observe:
        """What to call with status and seconds after each request of one route."""
        by_status = self._series.setdefault((method, route), {})

        def observe(status: int, seconds: float) -> None:
            counts = by_status.get(status)
            if counts is None:
                counts = by_status[status] = [0.0] * (len(_BOUNDS_S) + 2)
            counts[bisect_left(_BOUNDS_S, seconds)] += 1
            counts[-1] += seconds

        return observe

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(
            "partyline_request_duration_seconds", "Time from a request's head to its answer.", labels=_LABELS
        )
        for (method, route), by_status in self._series.items():
            for status, counts in by_status.items():
                total = 0.0
                buckets = []
                for bound, count in zip((*map(str, _BOUNDS_S), "+Inf"), counts, strict=False):
                    total += count
                    buckets.append((bound, total))
                family.add_metric((method, route, str(status)), buckets, sum_value=counts[-1])
        yield family


# Never the values of local variables: they hold bodies, tokens and device ids.
_tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def new_registry() -> CollectorRegistry:
    """A registry of one service, with what every process shows of itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def configure_logs(log_format: str) -> None:
    """Logs to standard output: `json`, `text`, or `auto`, which is text on a terminal and JSON elsewhere."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stdout.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if as_text
        else [_tracebacks, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(),  # a line is one write, also where workers share the stream
        cache_logger_on_first_use=True,
    )
    # What libraries log goes the same way.
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
