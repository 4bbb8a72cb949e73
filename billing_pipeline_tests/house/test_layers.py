"""Imports point one way, and the rules about who may import what hold: read off the source, nothing is run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import billing_pipeline

PACKAGE = Path(billing_pipeline.__file__).parent
# A layer may import those below it and, inside a folder, itself; what stands together does not know each other.
LAYERS = (
    {"__main__"},
    {"cli", "definitions"},
    {"commands"},
    {"defs"},
    {"steps"},
    {"sources", "normalize", "r189", "reconciliation", "storage", "rebilling", "reports", "sandbox", "alerts", "api"},
    {"schemas", "config"},
    {"config_mistakes", "config_operating"},
    {"config_types"},
    {"periods", "money", "errors", "exact_json"},
)
# Neighbours that do know each other: reports print what storage holds, the API serves it in the shapes of the reports,
# alerts keep what they have told; rebilling sends
# what normalize has read through the sources' one HTTP client and keeps its records in storage.
ALLOWED_BESIDE = {
    ("reports", "storage"),
    ("alerts", "storage"),
    ("api", "reports"),
    ("api", "storage"),
    ("rebilling", "normalize"),
    ("rebilling", "sources"),
    ("rebilling", "storage"),
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def level(name: str) -> int:
    return next(index for index, layer in enumerate(LAYERS) if name in layer)


def test_there_is_something_to_look_at():
    assert len(MODULES) > 60
    assert {place(path) for path in MODULES} - {"__init__"} <= set().union(*LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path):
    here = place(path)
    if here == "__init__":
        assert list(imports(path)) == []
        return
    for name in imports(path):
        if not name.startswith("billing_pipeline."):
            continue
        there = name.split(".")[1]
        if there != here and (here, there) not in ALLOWED_BESIDE:
            assert level(here) < level(there), f"{path}: {here} imports {name}"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("dagster", ("defs/", "definitions.py")),
        ("httpx", ("sources/http.py",)),
        ("psycopg", ("storage/", "commands/demo.py")),
        ("sqlalchemy", ("storage/", "schemas/sql.py")),
        ("uvicorn", ("sandbox/server.py", "api/server.py")),
        ("fastapi", ("api/",)),
        ("smtplib", ("alerts/channels.py",)),
        ("xlsxwriter", ("reports/",)),
        ("pandera", ("schemas/row_validation.py",)),
        ("pyspark", ("steps/spark.py", "steps/spark_session.py")),
    ],
)
def test_a_library_has_one_door(library, allowed):
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users, f"nobody imports {library}; this test looks at nothing"
    assert {user for user in users if not user.startswith(allowed)} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_says_what_belongs_in_it_and_stays_readable(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= 350
    assert path.stem not in {"utils", "helpers", "common", "misc"}


RECONCILIATION = sorted((PACKAGE / "reconciliation").glob("*.py"))


@pytest.mark.parametrize("path", RECONCILIATION, ids=lambda path: path.name)
def test_no_float_and_no_second_door_for_division_in_reconciliation(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.FloorDiv)), f"{where} divides"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{where} holds a float"
        called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        assert called not in {"round", "floor", "ceil", "mean"}, f"{where} rounds"
        assert not (isinstance(node, ast.Constant) and node.value in {"float64", "float32"}), f"{where} names a float"


def test_reconciliation_was_looked_at():
    assert len(RECONCILIATION) > 8
