"""Spark as an engine of this pipeline: Ibis' backend, with tables going in and out as Parquet files on the shared folder.

Ibis passes tables in and results out through pandas and keeps intermediate results in executors' memory under ever longer
plans. Here both are files under the step's scratch folder, which lies in data_dir and so at the same path on every
worker: types are what they are, plans stay short, and a lost executor loses nothing. Sessions are spark_session.py's.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.operations as ops
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.types import Expr, Table

from billing_pipeline.config import BillingConfig
from billing_pipeline.errors import EngineError
from billing_pipeline.steps.engine import result_files
from billing_pipeline.steps.spark_session import first_line, ignore_pandas_notice, new_session

ignore_pandas_notice()
from ibis.backends.pyspark import Backend  # noqa: E402
from ibis.backends.pyspark.datatypes import PySparkSchema  # noqa: E402
from py4j.protocol import Py4JError  # noqa: E402
from pyspark.errors import PySparkException  # noqa: E402

_SESSION = {
    # Instants are UTC here; keys of a path are strings (0042 is an operator's code, not 42).
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    # An overflow is an error, never a null or a wrapped number.
    "spark.sql.ansi.enabled": "true",
}


@contextmanager
def spark_engine(config: BillingConfig, scratch: Path) -> Iterator[Any]:
    """A backend whose tables live under `scratch` and are gone with it. Whatever Spark says becomes one EngineError."""
    session, release = new_session(config)
    backend = SparkBackend()
    backend.use_folder(scratch / f"spark-{uuid.uuid4().hex}")
    try:
        backend.do_connect(session, **_SESSION)
        yield backend
    except (PySparkException, Py4JError) as error:
        raise EngineError(f"{config.path}: engine spark: {first_line(error)}; run again once it is mended") from error
    finally:
        backend.discard()
        release()


class SparkBackend(Backend):  # type: ignore[misc]  # Ibis ships types that strict mode cannot read
    """Ibis' pyspark backend where a table is a Parquet file or folder: `create_table(temp=True)`, memtables, results."""

    def use_folder(self, folder: Path) -> None:
        """Where tables made here are written; workers see it at the same path."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._views: set[str] = set()

    def discard(self) -> None:
        """Drop every view and file made here; a cluster that is gone has dropped its views itself."""
        with suppress(PySparkException, Py4JError):
            for name in sorted(self._views):
                self._session.catalog.dropTempView(name)
        self._views.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def read_parquet(self, path: str | Path, /, *, table_name: str | None = None, **_: Any) -> Table:
        """A file, or the folder that `to_parquet` wrote, under the schema in its footer: nothing is inferred."""
        path = Path(path)
        files = result_files(path)
        schema = pq.read_schema(files[0])
        nullable = ibis.Schema.from_pyarrow(pa.schema([field.with_nullable(True) for field in schema]))
        name = table_name or ibis.util.gen_name("read")
        reader = self._session.read.schema(PySparkSchema.from_ibis(nullable)).option("recursiveFileLookup", "true")
        # A path is one path here, whatever brackets and stars it holds.
        reader.option("__globPaths__", "false").parquet(_local(path)).createOrReplaceTempView(name)
        self._views.add(name)
        return self.table(name)

    def create_table(
        self, name: str, /, obj: Table | pa.Table | None = None, *, temp: bool | None = None, **other: Any
    ) -> Table:
        """`obj` written once under a view that is gone with this backend."""
        if obj is None or not temp:
            return super().create_table(name, obj, temp=temp, **other)
        if isinstance(obj, pa.Table):
            path = self._folder / f"{name}.parquet"
            pq.write_table(obj, path)
        else:
            path = self._folder / name
            self.to_parquet(obj, path)
        return self.read_parquet(path, table_name=name)

    def drop_view(self, name: str, /, **_: Any) -> None:
        self._session.catalog.dropTempView(name)
        self._views.discard(name)
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def to_parquet(self, expr: Table, /, path: str | Path, **_: Any) -> None:
        """A folder of files, whose names are in the order of the rows."""
        self._run_pre_execute_hooks(expr)
        rows = self._session.sql(self.compile(expr))
        # Spark makes a difference of two decimal(18, 6) a decimal(19, 6), Ibis and DuckDB leave it at 18: a table read back
        # has the type its expression has, else the next union refuses it. Too large a value is an error (ansi, above).
        wanted = PySparkSchema.from_ibis(expr.schema())
        rows.select([rows[field.name].cast(field.dataType) for field in wanted]).write.parquet(_local(Path(path)))

    def to_pyarrow(self, expr: Expr, /, **_: Any) -> Any:
        """For the few rows that leave the engine one by one; large results go by `to_parquet`."""
        self._run_pre_execute_hooks(expr)
        rows = expr.as_table()
        found = self._session.sql(self.compile(rows)).toArrow()
        return expr.__pyarrow_result__(found.cast(rows.schema().to_pyarrow()))

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        rows = op.data.to_pyarrow(op.schema)
        self.create_table(op.name, rows, temp=True)

    def _make_memtable_finalizer(self, name: str) -> None:
        """None: views go with the backend, and a released session cannot be asked to drop one later."""
        return


def _local(path: Path) -> str:
    """The path on the shared folder, not on the cluster's default file system; Hadoop takes it as it is, unescaped."""
    return f"file://{path.absolute()}"
