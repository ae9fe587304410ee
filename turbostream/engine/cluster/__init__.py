"""The engine of several GPUs or machines: one local engine in each of Ray's actors (ENGINE=ray).

Importing this package imports neither Ray nor torch, and no other room imports Ray.
"""

from __future__ import annotations

from turbostream.engine.cluster.connection import check as check
from turbostream.engine.weights import Weights
from turbostream.settings import Settings
from turbostream.stream.engine_api import Engine, Report, Resolve


def open_cluster(
    settings: Settings, weights: Weights, report: Report, resolve: Resolve | None = None
) -> Engine:
    """Connect to Ray, start the workers and wait for the first that has painted.

    The thread that calls it has to live as long as the engine: a Ray that was started here ends
    with it (Linux' PR_SET_PDEATHSIG). Raises EngineUnusable or EngineUnavailable.
    """
    from turbostream.engine.cluster import cluster_engine

    return cluster_engine.open_cluster(settings, weights, report, resolve)
