"""The OpenAPI document as one HTML page, made once and complete in itself.

The usual viewers are fetched from a content delivery network: nothing where there is no Internet, and foreign code in
a page where people may type a key. This one has no script at all.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; background: #8881; }
pre { padding: .7rem; overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
td, th { border: 1px solid #8886; padding: .2rem .6rem; text-align: left; vertical-align: top; }
"""
_EXAMPLES = {"period": "2024-03", "invoiceId": "INV-ORA-2024-03-001"}


def docs_page(document: dict[str, Any]) -> str:
    """Operations with their parameters, answers and a curl command, then the schemas they name."""
    title = f"{document['info']['title']} {document['info']['version']}"
    operations = (
        part
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for part in _operation(method.upper(), path, operation, "security" in document)
    )
    schemas = (part for name, schema in document["components"]["schemas"].items() for part in _schema(name, schema))
    return "\n".join(
        [
            f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>',
            f"<style>\n{_STYLE}</style>\n<h1>{escape(title)}</h1>\n<p>{escape(document['info']['description'])}</p>",
            '<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>',
            *operations,
            *schemas,
            "</html>\n",
        ]
    )


def _operation(method: str, path: str, operation: dict[str, Any], asks_for_key: bool) -> Iterator[str]:
    yield f"<h2>{escape(operation['summary'])}</h2>\n<p><code>{method} {escape(path)}</code></p>"
    yield f"<p>{escape(operation['description'])}</p>"
    parameters = operation["parameters"]
    rows = [(one["name"], _needed(one), _limits(one["schema"]), one.get("description", "")) for one in parameters]
    yield _table(("parameter", "", "value", "meaning"), rows)
    query = "&".join(
        f"{one['name']}={_EXAMPLES[one['name']]}" for one in parameters if _needed(one) and one["in"] == "query"
    )
    for name, value in _EXAMPLES.items():
        path = path.replace("{" + name + "}", value)
    key = '-H "Authorization: Bearer $KEY" ' if asks_for_key else ""
    yield f'<pre>curl {key}"http://127.0.0.1:8190{escape(path)}{"?" + escape(query) if query else ""}"</pre>'
    answers = [
        (code, _linked(one["content"]["application/json"]["schema"]), one["description"])
        for code, one in operation["responses"].items()
    ]
    yield "<table><tr><th>status</th><th>body</th><th>meaning</th></tr>"
    yield from (f"<tr><td>{code}</td><td>{link}</td><td>{escape(text)}</td></tr>" for code, link, text in answers)
    yield "</table>"


def _needed(parameter: dict[str, Any]) -> str:
    return "required" if parameter.get("required") else ""


def _limits(schema: dict[str, Any]) -> str:
    words = [str(schema.get("type", ""))]
    words += [f"{name} {schema[name]}" for name in ("minimum", "maximum", "pattern", "default") if name in schema]
    words += [" | ".join(schema["enum"])] if "enum" in schema else []
    return ", ".join(words)


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3>\n<table><tr><th>member</th><th></th><th>value</th><th>meaning</th></tr>'
    for member, one in schema["properties"].items():
        needed = "" if member in schema["required"] else "may be absent"
        yield (
            f"<tr><td><code>{escape(member)}</code></td><td>{needed}</td><td>{_linked(one)}</td>"
            f"<td>{escape(one.get('description', ''))}</td></tr>"
        )
    yield "</table>"


def _linked(schema: dict[str, Any]) -> str:
    """What a value is; a schema of the document as a link to it."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if schema["type"] == "array":
        return f"list of {_linked(schema['items'])}"
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return escape(" | ".join(schema.get("enum", kinds)))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])
