"""`GET /metrics`: the numbers of /status for Prometheus, read at each request.

Names follow Prometheus' conventions: base units (seconds, bytes), `_total` for counters.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from turbostream.stream.state import State
from turbostream.web.context import AppContext
from turbostream.web.live.control_sockets import ControlSockets
from turbostream.web.live.streams import LiveStreams
from turbostream.web.routes.channel_metrics import channel_metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Figures(Collector):
    def __init__(self, context: AppContext, live: LiveStreams, controllers: ControlSockets) -> None:
        self._context, self._live, self._controllers = context, live, controllers

    def collect(self) -> Iterator[Metric]:
        context, viewers, counts = self._context, self._live.viewers, self._live.counts
        state = context.supervisor.status.state

        def gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"turbostream_{name}", help, value)

        def counter(name: str, help: str, value: float) -> CounterMetricFamily:
            return CounterMetricFamily(f"turbostream_{name}", help, value)

        facts = {"model": context.model_id}
        facts["fingerprint"] = str(context.supervisor.engine_facts.get("fingerprint", ""))
        yield InfoMetricFamily("turbostream_engine", "The engine and its model.", facts)
        yield StateSetMetricFamily(
            "turbostream_state",
            "What the stream is doing.",
            {name: name == state for name in State},
        )
        healthy = context.supervisor.unhealthy() is None
        yield from _of_workers(context)
        yield gauge("healthy", "1 while /healthz answers 200.", healthy)
        yield from channel_metrics(context.channels, viewers.of)
        yield gauge("viewers_limit", "MAX_VIEWERS.", viewers.most)
        yield gauge("connections", "Sockets open.", context.slots.open)
        yield counter("connections_refused", "Connections over a limit.", context.slots.refused)
        yield counter("parts_sent", "Pictures sent to viewers.", counts.parts)
        yield counter("sent_bytes", "Bytes of pictures sent to viewers.", counts.bytes)
        yield counter("dead_viewers", "Streams ended because no byte was taken.", counts.dropped)
        yield gauge("controllers", "Control sockets open.", len(self._controllers))
        received = self._controllers.counts.messages
        yield counter("control_messages", "Messages received on control sockets.", received)


def _of_workers(context: AppContext) -> Iterator[Metric]:
    """What /status says of each worker of the engine; nothing where it has none."""
    workers = context.supervisor.workers
    if not workers:
        return
    labels = ["worker", "node"]

    def gauge(name: str, help: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"turbostream_worker_{name}", help, labels=labels)

    def counter(name: str, help: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"turbostream_worker_{name}", help, labels=labels)

    ready, flying = gauge("ready", "1 while it paints."), gauge("in_flight", "Submissions.")
    frames = counter("frames", "Frames painted.")
    restarts = counter("restarts", "Times that it was lost and came back.")
    for one in workers:
        place = [one.name, one.node]
        ready.add_metric(place, one.state == "ready")
        flying.add_metric(place, one.in_flight)
        frames.add_metric(place, one.frames)
        restarts.add_metric(place, one.restarts)
    yield from (ready, flying, frames, restarts)


def add_routes(
    app: Flask, context: AppContext, live: LiveStreams, controllers: ControlSockets
) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(context, live, controllers))
    ProcessCollector(registry=registry)  # CPU, memory and descriptors of this process, on Linux

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE)
