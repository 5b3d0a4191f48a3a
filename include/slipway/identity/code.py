"""The code a stage depends on: the closure of first-party modules it imports, as digests.

Files are read and parsed, never imported, so that asking costs milliseconds and runs nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from slipway.errors import ConfigurationError
from slipway.identity.digest import sha256_bytes


def code_digests(entries: Iterable[Path], roots: Iterable[Path]) -> dict[str, str]:
    """Digest every first-party module reachable by imports from ``entries``.

    Args:
        entries: Python files to start from.
        roots: folders first-party modules are imported from (``include/``, ``spark_jobs/``).

    Returns:
        Path below its root -> sha256 of the file, sorted by path. A package's ``__init__.py`` counts when a module
        of the package does, since importing the module runs it.

    Raises:
        ConfigurationError: an entry does not exist or is not Python.
    """
    search = [root.resolve() for root in roots]
    pending = [path.resolve() for path in entries]
    found: dict[str, str] = {}
    while pending:
        path = pending.pop()
        name = _name_below(path, search)
        if name in found:
            continue
        try:
            source = path.read_bytes()
            modules = _imported(source)
        except (OSError, SyntaxError) as error:
            raise ConfigurationError(f"expected a Python module at {path}: {error}") from error
        found[name] = sha256_bytes(source)
        for module in modules:
            pending.extend(_files_of(module, search))
    return dict(sorted(found.items()))


def combined(code: Mapping[str, str]) -> str:
    """One digest over what ``code_digests`` found, 64 hex characters."""
    return sha256_bytes("".join(code.values()).encode())


def require_unchanged(recorded: Mapping[str, str], now: Mapping[str, str], *, since: str) -> None:
    """Stop work whose statement would name other code than the code that does it.

    Args:
        recorded: source -> digest, as the fingerprint was made of it.
        now: source -> digest, as this checkout has it.
        since: the task that recorded it.

    Raises:
        ConfigurationError: they differ; the message names every source that does.
    """
    changed = sorted(name for name in recorded.keys() | now.keys() if recorded.get(name) != now.get(name))
    if changed:
        raise ConfigurationError(
            f"expected the code and settings that `{since}` fingerprinted, changed since: {', '.join(changed)}; "
            f"what is made now would be recorded as made by the old ones: clear the run from `{since}`"
        )


def _name_below(path: Path, roots: list[Path]) -> str:
    for root in roots:
        if path.is_relative_to(root):
            return f"{root.name}/{path.relative_to(root).as_posix()}"
    return path.name


@lru_cache(maxsize=1024)  # a process asks for the same closure at every step
def _imported(source: bytes) -> tuple[str, ...]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _files_of(module: str, roots: list[Path]) -> Iterator[Path]:
    parts = module.split(".")
    for root in roots:
        for depth in range(1, len(parts)):
            package = root.joinpath(*parts[:depth], "__init__.py")
            if package.is_file():
                yield package
        for candidate in (root.joinpath(*parts).with_suffix(".py"), root.joinpath(*parts, "__init__.py")):
            if candidate.is_file():
                yield candidate
