"""The JSON bodies clients send, as the protocol names their fields; fields that change nothing here are ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

Metadata = dict[StrictStr, StrictStr]
_MAX_USER_METADATA_CHARACTERS = 2**16
"""As many as fit the headers of an upload: it stands in the tree beside each object's path."""


def _bounded(metadata: Metadata) -> Metadata:
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > _MAX_USER_METADATA_CHARACTERS:
        raise ValueError(f"expected at most {_MAX_USER_METADATA_CHARACTERS} characters of user metadata, got {size}")
    return metadata


UserMetadata = Annotated[Metadata, AfterValidator(_bounded)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RepositoryCreation(_Body):
    """POST repositories."""

    name: StrictStr
    storage_namespace: StrictStr
    default_branch: StrictStr | None = None
    sample_data: StrictBool | None = False
    read_only: StrictBool | None = False


class BranchCreation(_Body):
    """POST branches."""

    name: StrictStr
    source: StrictStr
    hidden: StrictBool | None = False


class TagCreation(_Body):
    """POST tags."""

    id: StrictStr
    ref: StrictStr


class CommitCreation(_Body):
    """POST commits; ``date`` in unix seconds."""

    message: StrictStr
    metadata: Metadata | None = None
    date: Annotated[StrictInt, Field(ge=0, le=2**53)] | None = None
    allow_empty: StrictBool | None = False


class MergeRequest(_Body):
    """POST merge."""

    message: StrictStr | None = None
    metadata: Metadata | None = None
    strategy: Literal["", "source-wins", "dest-wins"] | None = None
    force: StrictBool | None = False
    allow_empty: StrictBool | None = False
    squash_merge: StrictBool | None = False


class CommitOverrides(_Body):
    """What the new commit says instead of what the operation would write."""

    message: StrictStr | None = None
    metadata: Metadata | None = None


class RevertCreation(_Body):
    """POST revert; ``parent_number`` 0: the commit has one parent."""

    ref: StrictStr
    parent_number: Annotated[StrictInt, Field(ge=0)] = 0
    commit_overrides: CommitOverrides | None = None
    allow_empty: StrictBool | None = False


class CherryPickCreation(_Body):
    """POST cherry-pick."""

    ref: StrictStr
    parent_number: Annotated[StrictInt, Field(ge=0)] | None = None
    commit_overrides: CommitOverrides | None = None


class UserMetadataUpdate(_Body):
    """PUT objects/stat/user_metadata: all the metadata the object has from now on."""

    set: UserMetadata


class StagingLocation(_Body):
    """Where a client put an object's bytes."""

    physical_address: StrictStr


class StagingMetadata(_Body):
    """PUT staging/backing: link uploaded bytes into a branch."""

    staging: StagingLocation
    checksum: StrictStr
    size_bytes: StrictInt
    user_metadata: UserMetadata | None = None
    content_type: StrictStr | None = None


class ObjectCopy(_Body):
    """POST objects/copy."""

    src_path: StrictStr
    src_ref: StrictStr | None = None
    shallow: StrictBool | None = False


class PathList(_Body):
    """POST objects/delete."""

    paths: Annotated[list[StrictStr], Field(max_length=1000)]


class ProtectionRule(_Body):
    """One element of PUT settings/branch_protection."""

    pattern: Annotated[StrictStr, Field(min_length=1, max_length=256)]


class ProtectionRules(_Body):
    """PUT settings/branch_protection, a bare array on the wire."""

    rules: list[ProtectionRule]


class ResetCreation(_Body):
    """PUT branches/{branch}."""

    type: Literal["object", "common_prefix", "reset"]
    path: StrictStr | None = None


class Collection(_Body):
    """POST gc, this server's own; an age in seconds."""

    older_than_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 24 * 3600
    dry_run: StrictBool = False
