"""``SparkConnectSimulator``: a Spark Connect server that grants sessions and keeps their settings, and runs nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from pyspark.sql.connect.proto import base_pb2 as messages
from pyspark.sql.connect.proto import base_pb2_grpc as service


class SparkConnectSimulator(service.SparkConnectServiceServicer):
    """A server of a version; ``settings`` is session name -> what was set there."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.settings: dict[str, dict[str, str]] = defaultdict(dict)

    def Config(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's signature
        pairs = request.operation.set.pairs
        self.settings[request.session_id] |= {pair.key: pair.value for pair in pairs}
        return messages.ConfigResponse(session_id=request.session_id, pairs=pairs)

    def AnalyzePlan(self, request: Any, context: Any) -> Any:  # noqa: N802
        version = messages.AnalyzePlanResponse.SparkVersion(version=self.version)
        return messages.AnalyzePlanResponse(session_id=request.session_id, spark_version=version)

    @contextmanager
    def served(self) -> Iterator[str]:
        """Its URL, without a token."""
        server = grpc.server(ThreadPoolExecutor(2))
        service.add_SparkConnectServiceServicer_to_server(self, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"sc://127.0.0.1:{port}/"
        finally:
            server.stop(None).wait()
