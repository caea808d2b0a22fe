"""The API's reference as a page that needs no script and no network."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: API</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/style.css">
</head>
<body class="reference">
<main>
<p><a href="/">Try it</a> · <a href="/openapi.json">openapi.json</a></p>
<h1>{title}</h1>
<p>Every error is <code>{{"error": "…", "code": "…"}}</code>. Where the server asks for a key, send it as
<code>Authorization: Bearer KEY</code>. 429 and 503 say in <code>Retry-After</code> when to try again.</p>
"""
_CODE = re.compile("`([^`]+)`")
_TAIL = "</main>\n</body>\n</html>\n"


def reference_page(openapi: dict[str, Any], address: str) -> str:
    """Return the page for an OpenAPI document: each route with what it does and a command that calls it.

    Args:
        openapi: The document.
        address: Under which the server was asked for it, without a slash at the end.
    """
    sections = [
        _section(_route(path, method, operation, openapi, address))
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    ]
    return _HEAD.format(title=escape(openapi["info"]["title"])) + "".join(sections) + _TAIL


def _as_code(found: re.Match[str]) -> str:
    return f"<code>{found[1]}</code>"


def _section(route: dict[str, Any]) -> str:
    lines = [
        f"<h2><code>{escape(route['method'])} {escape(route['path'])}</code></h2>",
        *(f"<p>{_CODE.sub(_as_code, escape(paragraph))}</p>" for paragraph in route["text"]),
        *(f"<pre><code>{escape(command)}</code></pre>" for command in route["commands"]),
        f"<p>Answers with {escape(route['statuses'])}.</p>",
    ]
    return "<section>\n" + "\n".join(lines) + "\n</section>\n"


def _route(path: str, method: str, operation: dict[str, Any], openapi: dict[str, Any], address: str) -> dict[str, Any]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    examples = [
        example
        for shape in schema.get("oneOf", [schema])
        for example in openapi["components"]["schemas"]
        .get(shape.get("$ref", "").rpartition("/")[2], {})
        .get("examples", [])
    ]
    return {
        "path": path,
        "method": method.upper(),
        "text": operation.get("description", "").split("\n\n"),
        "commands": [_command(address + path, example) for example in examples]
        or ([_command(address + path)] if method == "get" else []),
        "statuses": ", ".join(operation["responses"]),
    }


def _command(address: str, body: Any = None) -> str:
    if body is None:
        return f"curl {address}"
    return f"curl {address} -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
