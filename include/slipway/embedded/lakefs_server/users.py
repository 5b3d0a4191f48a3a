"""Users: their access keys and what they may do. Everyone reads everything; roles differ in what they write."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

Role = Literal["admin", "read", "write"]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class User(BaseModel):
    """One user with one key pair: ``admin`` writes everything, ``read`` nothing, ``write`` to one branch only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Name
    access_key: Annotated[str, Field(min_length=1, pattern="^[^:]+$")]
    secret_key: Annotated[SecretStr, Field(min_length=1)]
    role: Role
    repository: Name | None = None
    branch: Name | None = None

    @model_validator(mode="after")
    def _one_branch(self) -> User:
        named = [one is not None for one in (self.repository, self.branch)]
        if named != [self.role == "write"] * 2:
            raise ValueError("role write needs repository and branch; the other roles have neither")
        return self

    def may_write(self, repository: str | None, branch: str | None) -> bool:
        """Whether this user may change a branch, or with None for ``branch`` what is no branch's content."""
        if self.role == "write":
            return branch is not None and (repository, branch) == (self.repository, self.branch)
        return self.role == "admin"

    @property
    def entry(self) -> dict[str, str]:
        """This user as a file of users holds it, the secret key included."""
        return {**self.model_dump(exclude_none=True), "secret_key": self.secret_key.get_secret_value()}

    @property
    def header(self) -> bytes:
        """What HTTP Basic authentication carries for this user."""
        return f"{self.access_key}:{self.secret_key.get_secret_value()}".encode()

    @property
    def seal(self) -> str:
        """Changes with the user's keys and rights: what is signed with it ends with them."""
        rights = [self.id, self.role, self.repository, self.branch, self.header.decode()]
        return hashlib.sha256(json.dumps(rights).encode()).hexdigest()


def problems(error: ValidationError) -> str:
    """What is wrong and where; the error's own text would repeat the secrets it was given."""
    return "; ".join(f"{_place(one['loc'])}: {one['msg']}" for one in error.errors())


def _place(parts: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".") or "its top"
