"""The code a stage depends on: the closure of first-party modules it imports, and the packages those import.

Files are read and parsed, never imported, so that asking costs milliseconds and runs nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slipway.errors import ConfigurationError
from slipway.identity.digest import sha256_bytes
from slipway.identity.imports import imports_of, keep_imports, load_imports
from slipway.identity.packages import UNKNOWN, pins, versions

_INIT = "__init__.py"


@dataclass(frozen=True)
class Closure:
    """The code a stage runs."""

    code: Mapping[str, str]
    """First-party module as a path that begins with its root's name -> sha256 of the file, sorted by path."""
    packages: Mapping[str, str]
    """Third-party distribution (normalised name) -> version, sorted; see ``slipway.identity.packages.versions``."""


def closure(entries: Iterable[Path], roots: Iterable[Path], *, lock: Path, cache: Path | None = None) -> Closure:
    """Everything reachable by imports from ``entries``: first-party files by digest, third-party packages by version.

    Args:
        entries: Python files to start from.
        roots: folders first-party modules are imported from (``include/``, ``spark_jobs/``), with different names.
        lock: the ``requirements.lock`` that pins the packages' versions.
        cache: folder in which what files import is kept between processes, by content; ``None`` keeps nothing. It may
            be deleted at any time and be shared by any number of processes.

    Raises:
        ConfigurationError: an entry does not exist or is not Python, two roots or outside entries have one name, or
            the lock cannot be read.
    """
    walk = _walk(entries, roots, cache)
    found = versions(walk.foreign, pins(lock))
    # `from models import x` names `models` too: a folder of ours without an __init__.py, with no code of its own.
    packages = {name: version for name, version in found.items() if version != UNKNOWN or not walk.tree.has(name)}
    return Closure(dict(sorted(walk.code.items())), packages)


def code_digests(entries: Iterable[Path], roots: Iterable[Path], *, cache: Path | None = None) -> dict[str, str]:
    """The ``code`` of :func:`closure`, for those who do not ask for packages.

    A package's ``__init__.py`` counts when a module of the package does, since importing the module runs it.
    """
    return dict(sorted(_walk(entries, roots, cache).code.items()))


def combined(code: Mapping[str, str]) -> str:
    """One digest over what ``code_digests`` found, 64 hex characters, in whatever order a database gave it back."""
    return sha256_bytes("".join(code[name] for name in sorted(code)).encode())


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


def _walk(entries: Iterable[Path], roots: Iterable[Path], cache: Path | None) -> _Walk:
    tree = _Tree([root.absolute() for root in roots])
    starts = sorted({entry.absolute() for entry in entries})
    question = sha256_bytes("\n".join(map(str, (*tree.roots.values(), *starts))).encode())
    kept = cache and cache / f"{question[:32]}.json"
    walk = _Walk(tree, load_imports(kept) if kept else {})
    walk.run(starts)
    if kept and walk.read != walk.known:
        keep_imports(kept, walk.read)
    return walk


class _Tree:
    """The folders first-party modules lie in, each listed once."""

    def __init__(self, roots: list[Path]) -> None:
        self.roots = {root.name: str(root) for root in roots}
        self._listings: dict[str, frozenset[str]] = {}
        self._found: dict[str, tuple[str, ...]] = {}
        if len(self.roots) < len(set(roots)):
            raise ConfigurationError(
                f"expected roots of different names, as modules are named by them, got {', '.join(map(str, roots))}"
            )

    def place(self, path: Path) -> str:
        """The path as a module's name in a closure; the bare file name outside the roots."""
        for name, root in self.roots.items():
            for there, base in ((path, Path(root)), (path.resolve(), Path(root).resolve())):
                if there.is_relative_to(base):
                    return f"{name}/{there.relative_to(base).as_posix()}"
        return path.name

    def files(self, module: str) -> tuple[str, ...]:
        """Places of the files that importing ``module`` runs; none when it is not first-party."""
        found = self._found.get(module)
        if found is None:
            parts = module.split(".")
            found = self._found[module] = tuple(place for root in self.roots for place in self._below(root, parts))
        return found

    def packages_above(self, place: str) -> Iterator[str]:
        parts = place.split("/")
        for depth in range(2, len(parts)):
            folder = "/".join(parts[:depth])
            if _INIT in self._list(folder):
                yield f"{folder}/{_INIT}"

    def path(self, place: str) -> str:
        root, _, rest = place.partition("/")
        return f"{self.roots[root]}/{rest}"

    def has(self, folder: str) -> bool:
        """Whether a root has a folder of that name."""
        return any(Path(root, folder).is_dir() for root in self.roots.values())

    def _below(self, folder: str, parts: list[str]) -> Iterator[str]:
        for part in parts:
            names = self._list(folder)
            if part == "*":
                yield from (f"{folder}/{name}" for name in sorted(names) if name.endswith(".py"))
                return
            # The module too where a folder has the same name: which one Python takes depends on an __init__.py.
            if f"{part}.py" in names:
                yield f"{folder}/{part}.py"
            if part not in names:
                return
            folder = f"{folder}/{part}"
            if _INIT in self._list(folder):
                yield f"{folder}/{_INIT}"

    def _list(self, folder: str) -> frozenset[str]:
        names = self._listings.get(folder)
        if names is None:
            try:
                names = frozenset(os.listdir(self.path(folder)))  # noqa: PTH208 - names, not paths
            except OSError:
                names = frozenset()
            self._listings[folder] = names
        return names


@dataclass
class _Walk:
    """One way through the imports."""

    tree: _Tree
    known: Mapping[str, tuple[str, ...]]
    """sha256 of a source -> what it imports, from earlier processes."""
    read: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The same of what this walk met."""
    code: dict[str, str] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    """Names that lead to no first-party file and are not Python's own."""

    def run(self, entries: list[Path]) -> None:
        pending: list[str] = []
        for entry in entries:
            place = self.tree.place(entry)
            if "/" in place:
                pending.append(place)
                continue
            if place in self.code:
                raise ConfigurationError(f"expected entries outside of the roots to have different names, got {entry}")
            pending.extend(self._visit(place, str(entry)))
        while pending:
            place = pending.pop()
            if place not in self.code:
                pending.extend(self._visit(place, self.tree.path(place)))

    def _visit(self, place: str, path: str) -> Iterator[str]:
        try:
            source = Path(path).read_bytes()
            digest = sha256_bytes(source)
            names = self.known.get(digest)
            self.read[digest] = names = imports_of(source) if names is None else names
        except (OSError, SyntaxError, ValueError) as error:
            raise ConfigurationError(f"expected a Python module at {path}: {error}") from error
        self.code[place] = digest
        yield from self.tree.packages_above(place)
        for name in names:
            yield from self._follow(_absolute(name, place) if name.startswith(".") else name)

    def _follow(self, module: str) -> tuple[str, ...]:
        files = self.tree.files(module) if module else ()
        if module and not files and module.split(".", 1)[0] not in sys.stdlib_module_names:
            self.foreign.add(module.removesuffix(".*"))
        return files


def _absolute(name: str, place: str) -> str:
    """A relative import as the module it means, seen from the file at ``place``."""
    rest = name.lstrip(".")
    package = place.split("/")[1:-1]
    up = len(name) - len(rest) - 1
    return ".".join([*package[: max(len(package) - up, 0)], *filter(None, [rest])])
