"""``lakefs://<repository>/<ref>/<path>`` as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from slipway.errors import ConfigurationError

SCHEME = "lakefs://"
# Names as lakeFS accepts them (its pkg/validator); a ref may also be an expression such as main~2 or main@.
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{2,62}", re.ASCII)
_REF = re.compile(r"[^\s/?#]+")


@dataclass(frozen=True)
class LakeUri:
    """A place in a lake: ``ref`` is a branch, tag or commit id; an empty ``path`` is the root.

    Raises ``ConfigurationError`` when a part is not what lakeFS accepts.
    """

    repository: str
    ref: str
    path: str = ""

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository):
            raise ConfigurationError(
                f"expected a lakeFS repository name (lower-case letters, digits, '-', 3 to 63 long), "
                f"came {self.repository!r}; write {SCHEME}<repository>/<ref>/<path>"
            )
        if not _REF.fullmatch(self.ref):
            raise ConfigurationError(
                f"expected a branch, tag or commit id, came {self.ref!r}; write {SCHEME}<repository>/<ref>/<path>"
            )
        if self.path.startswith("/") or len(self.path.encode()) > 1024:
            raise ConfigurationError(
                f"expected a path of at most 1024 bytes without a leading '/', came {self.path!r}; shorten or trim it"
            )

    @classmethod
    def parse(cls, text: str) -> LakeUri:
        """The value of a URI's text; raises ``ConfigurationError`` when it is not a lakeFS URI."""
        if not text.startswith(SCHEME):
            raise ConfigurationError(f"expected {SCHEME}<repository>/<ref>/<path>, came {text!r}")
        repository, _, rest = text.removeprefix(SCHEME).partition("/")
        ref, _, path = rest.partition("/")
        return cls(repository, ref, path)

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}/{self.ref}/{self.path}"

    def __truediv__(self, child: str) -> LakeUri:
        if not child.strip("/"):
            raise ConfigurationError(f"expected the name of an object or folder under {self}, came {child!r}")
        return replace(self, path=self.folder + child.lstrip("/"))

    @property
    def folder(self) -> str:
        """The path as a prefix that names a folder: empty for the root, else ending in one ``/``."""
        return f"{self.path.rstrip('/')}/" if self.path else ""

    def at(self, ref: str) -> LakeUri:
        """The same path at another ref."""
        return replace(self, ref=ref)
