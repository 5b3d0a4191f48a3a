"""Spark reads and writes the lake: ``spark.read.format("lakefs")`` and ``df.write.format("lakefs")``.

Register once per session with ``spark.dataSource.register(LakeFSDataSource)``; it works in classic sessions and
through Spark Connect, and needs this package importable where Spark's Python workers run.

Reading, ``load("lakefs://repo/ref/prefix")`` (or several such paths):

* The reference is pinned to a commit when the query is planned; every task reads that commit. Changes that a branch
  holds uncommitted under the prefix are an error, not silently left out.
* The schema is the first file's, then the partition columns (``date=2013-01-01/`` -> string column ``date``) of
  folders below the prefix, or below ``option("basePath", …)``.
* Columns: Spark 4.3 tells a Python source no query's columns (its ``PythonScanBuilder`` takes filters and nothing
  else), so a ``select`` alone spares nothing. Name them: ``option("columns", "date,delay")`` or ``.schema(…)``; then
  only those are fetched and decoded.
* Partitions: in a session with ``spark.sql.python.filterPushdown.enabled`` (Slipway's own have it) a filter on a
  partition column leaves out the files it rules out; in another, name the partitions' paths.
* One task per file; a file larger than ``option("split_bytes", …)`` (128 MiB) is split between row groups.

Writing, ``.mode("overwrite").save("lakefs://repo/branch/prefix")``, is in ``slipway.lake.datasource_write``.

Options: ``endpoint``, ``access_key``, ``secret_key`` (else lakeFS's own environment), ``access_mode``, ``basePath``,
``columns``, ``split_bytes``.
"""

from __future__ import annotations

import json

from pyspark.sql.datasource import DataSource, DataSourceReader  # noqa: TID253 - a leaf of Spark
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema  # noqa: TID253
from pyspark.sql.types import StringType, StructField, StructType  # noqa: TID253

from slipway.connections import LakeConnection
from slipway.errors import ConfigurationError
from slipway.lake import parquet_format
from slipway.lake.datasource_read import LakeReader
from slipway.lake.datasource_write import LakeWriter
from slipway.lake.read_plan import ReadPlan, plan_read
from slipway.lake.uri import LakeUri

SPLIT_BYTES = 128 * 1024 * 1024


class LakeFSDataSource(DataSource):  # type: ignore[misc]  # pyspark ships no complete types
    """The ``lakefs`` format."""

    @classmethod
    def name(cls) -> str:
        return "lakefs"

    def schema(self) -> StructType:
        plan = self._plan()
        tail = plan.tail(plan.files[0])
        found = from_arrow_schema(parquet_format.schema_of(tail, plan.name_of(plan.files[0])))
        fields = [field for field in found.fields if field.name not in plan.columns]
        return self._chosen(StructType(fields + [StructField(name, StringType()) for name in plan.columns]))

    def reader(self, schema: StructType) -> DataSourceReader:
        return LakeReader(self._plan(), schema, self._split_bytes())

    def writer(self, schema: StructType, overwrite: bool) -> LakeWriter:
        if not overwrite:
            raise ConfigurationError(
                'expected .mode("overwrite"), came append: a repeated append would double its rows'
            )
        (uri,) = self._paths()
        if not uri.folder:
            raise ConfigurationError(f"expected a prefix to overwrite, came {uri}; write to a dataset's own folder")
        arrow = to_arrow_schema(schema, timezone="UTC")
        return LakeWriter.planned(self._connection(), uri, arrow, self.options.get("access_mode"))

    def _plan(self) -> ReadPlan:
        # Spark carries this object from the schema to the reader: both must see the same commit.
        plan: ReadPlan | None = getattr(self, "_planned", None)
        if plan is None:
            base = self.options.get("basePath")
            plan = plan_read(self._connection(), self._paths(), LakeUri.parse(base) if base else None)
            self._planned = plan
        return plan

    def _chosen(self, schema: StructType) -> StructType:
        """The columns the option ``columns`` names, in its order; all without it."""
        given = self.options.get("columns")
        if given is None:
            return schema
        names = [name.strip() for name in given.split(",")]
        unknown = [name for name in names if name not in schema.names]
        if unknown or len(set(names)) < len(names):
            raise ConfigurationError(
                f"expected option columns to name each of {schema.names} at most once, came {given!r}; correct it"
            )
        return StructType([schema[name] for name in names])

    def _split_bytes(self) -> int:
        given = self.options.get("split_bytes", str(SPLIT_BYTES))
        if not (given.isdecimal() and int(given)):
            raise ConfigurationError(f"expected option split_bytes as a positive number of bytes, came {given!r}")
        return int(given)

    def _paths(self) -> list[LakeUri]:
        path, paths = self.options.get("path"), self.options.get("paths")
        if not (path or paths):
            raise ConfigurationError("expected a path lakefs://<repository>/<ref>/<prefix>, came none")
        return [LakeUri.parse(text) for text in ([path] if path else json.loads(paths))]

    def _connection(self) -> LakeConnection | None:
        given = [self.options.get(name) for name in ("endpoint", "access_key", "secret_key")]
        if all(given):
            return LakeConnection(*given)
        if any(given):
            raise ConfigurationError("expected all of the options endpoint, access_key and secret_key, or none of them")
        return None  # Each worker reads its own environment: no secret travels in a Connect plan.
