"""A writer of the lake that knows what was acknowledged to it, and what must therefore be there."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import md5

import httpx

PATHS = 24
Content = dict[str, bytes]


@dataclass(frozen=True)
class State:
    """What one writer has on the server: its branch as it shows, its head, and its part of main."""

    view: Content = field(default_factory=dict)
    head: Content = field(default_factory=dict)
    main: Content = field(default_factory=dict)
    commits: tuple[str, ...] = ()
    merges: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class UnexpectedAnswerError(AssertionError):
    """The server answered what it never should under this load."""


class Writer:
    """Writes objects below its own prefix on its own branch, commits, merges into main and tags.

    ``state`` is what was acknowledged, ``trying`` what holds if the request under way took effect.
    """

    def __init__(self, repository: str, number: int, seed: int) -> None:
        self.branch = f"writer{number}"
        self.prefix = f"{self.branch}/"
        self.state = self.trying = State()
        self.acknowledged: Counter[str] = Counter()
        self._url = f"/repositories/{repository}"
        self._chance = random.Random(seed * 1000 + number)

    def work(self, http: httpx.Client, stopped: Callable[[], bool]) -> None:
        """Go on until the server is killed; raises if it fails before."""
        while True:
            try:
                self._step(http)
            except httpx.TransportError:
                if stopped():
                    return
                raise

    def _step(self, http: httpx.Client) -> None:
        chance, state = self._chance.random(), self.state
        path = f"{self.prefix}{self._chance.randrange(PATHS):02}"
        if chance < 0.10 and state.view != state.head:
            kind = self._commit(http)
        elif chance < 0.17 and state.head != state.main:
            kind = self._merge(http)
        elif chance < 0.19:
            kind = self._tag(http)
        elif chance < 0.20:
            kind = self._orphan(http)
        elif chance < 0.25 and path in state.view:
            kind = self._delete(http, path)
        else:
            kind = self._write(http, path, presigned=chance > 0.8)
        self.state = self.trying
        self.acknowledged[kind] += 1

    def _delete(self, http: httpx.Client, path: str) -> str:
        kept = {key: value for key, value in self.state.view.items() if key != path}
        self.trying = replace(self.state, view=kept)
        self._ask(http, "DELETE", f"/branches/{self.branch}/objects", params={"path": path})
        return "deletions"

    def _write(self, http: httpx.Client, path: str, presigned: bool) -> str:
        content = self._chance.randbytes(self._chance.choice((20, 3_000, 200_000)))
        after = replace(self.state, view={**self.state.view, path: content})
        if not presigned:
            self.trying = after
            self._ask(http, "POST", f"/branches/{self.branch}/objects", params={"path": path}, content=content)
            return "objects"
        self.trying = self.state
        backing, query = f"/branches/{self.branch}/staging/backing", {"path": path}
        location = self._ask(http, "GET", backing, params={**query, "presign": "true"}).json()
        http.put(location["presigned_url"], content=content).raise_for_status()
        self.trying = after
        checksum = md5(content, usedforsecurity=False).hexdigest()
        body = {"staging": location, "checksum": checksum, "size_bytes": len(content)}
        self._ask(http, "PUT", backing, params=query, json=body)
        return "presigned_objects"

    def _commit(self, http: httpx.Client) -> str:
        self.trying = replace(self.state, head=self.state.view)
        made = self._ask(
            http, "POST", f"/branches/{self.branch}/commits", json={"message": str(self.acknowledged.total())}
        )
        self.trying = replace(self.trying, commits=(*self.state.commits, made.json()["id"]))
        return "commits"

    def _merge(self, http: httpx.Client) -> str:
        self.trying = replace(self.state, main=self.state.head)
        made = self._ask(http, "POST", f"/refs/{self.branch}/merge/main", json={})
        self.trying = replace(self.trying, merges=(*self.state.merges, made.json()["reference"]))
        return "merges"

    def _tag(self, http: httpx.Client) -> str:
        name = f"{self.branch}-{len(self.state.tags)}-{self._chance.getrandbits(40):x}"
        self.trying = self.state
        self._ask(http, "POST", "/tags", json={"id": name, "ref": self.branch})
        self.trying = replace(self.state, tags=(*self.state.tags, name))
        return "tags"

    def _orphan(self, http: httpx.Client) -> str:
        """A branch with a commit of its own that goes again: garbage."""
        self.trying = self.state
        name = f"{self.branch}-orphan-{self._chance.getrandbits(40):x}"
        self._ask(http, "POST", "/branches", json={"name": name, "source": self.branch})
        self._ask(http, "POST", f"/branches/{name}/objects", params={"path": name}, content=name.encode())
        self._ask(http, "POST", f"/branches/{name}/commits", json={"message": name})
        self._ask(http, "DELETE", f"/branches/{name}")
        return "orphans"

    def _ask(self, http: httpx.Client, method: str, path: str, **request: object) -> httpx.Response:
        answer = http.request(method, self._url + path, **request)  # type: ignore[arg-type]
        if answer.is_error:
            raise UnexpectedAnswerError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def create(self, http: httpx.Client) -> None:
        """Make the branch, before anything else."""
        self._ask(http, "POST", "/branches", json={"name": self.branch, "source": "main"})

    def lost(self, http: httpx.Client) -> list[str]:
        """What was acknowledged and is not there, or is there and was never asked for; then go on from what is."""
        seen = State(
            self._read(http, self.branch), self._read(http, f"{self.branch}@"), self._read(http, "main"),
            self.state.commits, self.state.merges, self.state.tags,
        )  # fmt: skip
        parts = ("view", "head", "main")
        wrong = [
            f"{self.branch}: {part} is neither what was acknowledged nor what the last request would make it"
            for part in parts
            if getattr(seen, part) not in (getattr(self.state, part), getattr(self.trying, part))
        ]
        wrong += self._absent(http, self.branch, self.state.commits)
        wrong += self._absent(http, "main", self.state.merges)
        for tag in self.state.tags:
            if http.get(f"{self._url}/tags/{tag}").status_code != 200:
                wrong.append(f"tag {tag} is lost")
        self.state = self.trying = seen
        return wrong

    def _read(self, http: httpx.Client, ref: str) -> Content:
        query = {"prefix": self.prefix, "amount": "1000"}
        listed = self._ask(http, "GET", f"/refs/{ref}/objects/ls", params=query).json()["results"]
        paths = [one["path"] for one in listed]
        return {path: self._ask(http, "GET", f"/refs/{ref}/objects", params={"path": path}).content for path in paths}

    def _absent(self, http: httpx.Client, ref: str, wanted: tuple[str, ...]) -> list[str]:
        missing, after = set(wanted), ""
        while missing:
            page = self._ask(http, "GET", f"/refs/{ref}/commits", params={"amount": "1000", "after": after}).json()
            missing -= {one["id"] for one in page["results"]}
            after = page["pagination"]["next_offset"]
            if not page["pagination"]["has_more"]:
                break
        return [f"commit {one} is lost from {ref}" for one in sorted(missing)]

    def forget(self) -> None:
        """Look no longer for commits, merges and tags that were found after this kill."""
        state = replace(self.state, commits=(), merges=(), tags=())
        self.state = self.trying = state
