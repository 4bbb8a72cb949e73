"""The one import of pandera, and what it drags in. The models of rows stand where the rows are read."""

import warnings

# Pandera imports PySpark where it is installed (`engine: spark`), some of it only when it first validates, and PySpark 4.3
# warns of pandas 3 on stderr. Nothing here gives Spark a pandas frame. Drop once PySpark knows pandas 3.
warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)

import pandera.pandas as pandera  # noqa: E402
from pandera.errors import SchemaErrors  # noqa: E402

__all__ = ["SchemaErrors", "pandera"]
