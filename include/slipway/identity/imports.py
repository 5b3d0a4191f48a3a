"""What a Python file imports, read from its source and never by running it; and what was read, kept on disk.

An imported name is written as Python code would: ``a.b`` absolute, ``.b`` and ``..b`` relative to the file's package,
``a.*`` for everything directly in ``a``.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from slipway.identity.digest import sha256_bytes

_DYNAMIC = ("import_module", "__import__")


@lru_cache(maxsize=1024)  # a process asks for the same closure at every step
def imports_of(source: bytes) -> tuple[str, ...]:
    """Every name that importing or running ``source`` may import, sorted.

    Imports count wherever they stand: in functions, under ``TYPE_CHECKING``, and as
    ``importlib.import_module("literal")``. Of ``from a import b`` both ``a`` and ``a.b`` count, since ``b`` may be a
    module. A name computed at run time cannot be seen: whoever computes it adds the modules as entries.

    Raises:
        SyntaxError: it is not Python.
        ValueError: it holds null bytes, or is nested deeper than the parser goes.
    """
    try:
        tree = ast.parse(source)
        # Statements are a tenth of the nodes; only a dynamic import stands in an expression.
        dynamic = any(name.encode() in source for name in _DYNAMIC)
        nodes = list(ast.walk(tree) if dynamic else _statements(tree))
        importers = {name for node in nodes for name in _importers(node)} | set(_DYNAMIC) if dynamic else set()
        return tuple(sorted({name for node in nodes for name in _names(node, importers)}))
    except RecursionError as error:
        raise ValueError("it is nested too deeply to be parsed") from error


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        for block in ("body", "handlers", "orelse", "finalbody", "cases"):
            below = getattr(node, block, ())
            if isinstance(below, list):  # a lambda's body is an expression
                pending.extend(below)


def _importers(node: ast.AST) -> Iterator[str]:
    """What else a file calls the functions that import."""
    if isinstance(node, ast.ImportFrom):
        yield from (alias.asname for alias in node.names if alias.asname and alias.name in _DYNAMIC)


def _names(node: ast.AST, importers: Collection[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        yield base
        yield from (_below(base, alias.name) for alias in node.names)
    elif isinstance(node, ast.Call) and importers:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called in importers:
            yield from _literal_import(node)


def _literal_import(call: ast.Call) -> Iterator[str]:
    words = {word.arg: word.value for word in call.keywords}
    named = [*call.args[:1], *(words[arg] for arg in ("name",) if arg in words)]
    name = _literal(named[0]) if named else None
    if name and name.startswith("."):
        given = [*call.args[1:2], *(words[arg] for arg in ("package",) if arg in words)]
        package = _literal(given[0]) if given else None
        # Anything but a literal is `__package__` or its like: the file's own.
        name = _below(package, name[1:]) if package and not name.startswith("..") else name
    if name and all(name.lstrip(".").split(".")):
        yield name


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _below(base: str, name: str) -> str:
    return base + name if base.endswith(".") else f"{base}.{name}"


@lru_cache(maxsize=1)
def _reader() -> str:
    """Digest of what decides how a source is read: this file and the Python whose grammar it uses."""
    return sha256_bytes(Path(__file__).read_bytes() + sys.version.encode())


def load_imports(file: Path) -> dict[str, tuple[str, ...]]:
    """What an earlier process kept: sha256 of a source -> what it imports.

    Empty when there is nothing, when it cannot be read, when its checksum is wrong, and when another version of this
    module wrote it: parsing again is always right, and only slower.
    """
    try:
        checksum, body = file.read_bytes().split(b"\n", 1)
        if checksum.decode() != sha256_bytes(body):
            return {}
        kept = json.loads(body)
        if kept["reader"] != _reader():
            return {}
        return {digest: tuple(map(str, names)) for digest, names in kept["imports"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def keep_imports(file: Path, imports: Mapping[str, tuple[str, ...]]) -> None:
    """Keep what was read for the next process; others may write at the same time, and the last one stays.

    Nothing happens where it cannot be written: a read-only disk makes the next process slower, not wrong.
    """
    body = json.dumps({"reader": _reader(), "imports": imports}).encode()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=file.parent, prefix=f"{file.stem}.", suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(sha256_bytes(body).encode() + b"\n" + body)
            Path(partial).replace(file)
        except OSError:
            Path(partial).unlink(missing_ok=True)
            raise
