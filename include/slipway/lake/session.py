"""One connection to a lakeFS server: the SDK's client, bounded retries, and the one place its errors are translated.

The official ``lakefs`` wrapper supplies configuration and authentication; requests go through the generated
``lakefs_sdk`` client beneath it, because the wrapper asks for the repository before every read and write, sets no
time limits and leaks some of its errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import urllib3
from lakefs.client import Client
from lakefs.exceptions import ServerException
from lakefs_sdk.exceptions import ApiException
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_random_exponential

from slipway.connections import LakeConnection
from slipway.errors import LakeConflictError, LakeDeniedError, LakeError, LakeNotFoundError, UnavailableError

T = TypeVar("T")

CONNECT_SECONDS = 5.0
READ_SECONDS = 120.0
MAX_ATTEMPTS = 10
PAGE = 1000
"""Results per page; lakeFS accepts at most 1000."""


class NoChangesError(LakeError):
    """lakeFS refused a commit or merge because it would change nothing; ``Lake`` treats that as success."""


class Session:
    """The SDK's client for one server; safe to share between threads.

    ``patience_seconds`` bounds how long one request is tried again while the server answers 429 or 5xx or not at all.
    """

    def __init__(self, connection: LakeConnection, patience_seconds: float) -> None:
        self.endpoint = connection.endpoint
        self.patience_seconds = patience_seconds
        self.client = Client(host=connection.endpoint, username=connection.access_key, password=connection.secret_key)
        self.sdk = self.client.sdk_client
        self.pool: urllib3.PoolManager = self.sdk.objects_api.api_client.rest_client.pool_manager
        # The generated client waits for ever by default, and urllib3 repeats a refused connection at once.
        self.pool.connection_pool_kw |= {
            "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            "retries": urllib3.Retry(total=None, connect=0, read=0, redirect=3, status=0, other=0),
        }

    def call(self, doing: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call one method of the SDK. ``doing`` says what for, and begins the message of what goes wrong.

        Raises the errors of ``translated``; ``UnavailableError`` only after the retries are used up. Every request
        sent through here is safe to repeat: a repeated commit or merge changes nothing, a repeated creation is adopted.
        """
        return self.attempt(doing, lambda: function(*args, _request_timeout=(CONNECT_SECONDS, READ_SECONDS), **kwargs))

    def attempt(self, doing: str, action: Callable[[], T]) -> T:
        """Run ``action`` with the same retries and translation, for requests that are not SDK methods."""
        retrying = Retrying(
            retry=retry_if_exception_type(UnavailableError),
            stop=stop_after_attempt(MAX_ATTEMPTS) | stop_after_delay(self.patience_seconds),
            wait=wait_random_exponential(multiplier=0.1, max=3.0),
            reraise=True,
        )
        result: T = retrying(self._once, doing, action)
        return result

    def pages(self, doing: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Every result of a paginated SDK method."""
        after = ""
        while True:
            page = self.call(doing, function, *args, after=after, amount=PAGE, **kwargs)
            yield from page.results
            if not page.pagination.has_more:
                return
            after = page.pagination.next_offset

    def _once(self, doing: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except ApiException as error:
            raise translated(doing, self.endpoint, error.status, _said(error.body) or error.reason) from error
        except ServerException as error:
            raise translated(doing, self.endpoint, error.status_code, str(error.reason)) from error
        except urllib3.exceptions.HTTPError as error:
            cause = getattr(error, "reason", None) or error
            raise UnavailableError(
                f"{doing}: lakeFS at {self.endpoint} did not answer ({type(cause).__name__}); "
                "check that it runs and that the lakefs_default connection names it"
            ) from error
        except ValueError as error:  # What pydantic, json and bytes.decode raise on a body that is not the API's.
            raise LakeError(
                f"{doing}: expected an answer of lakeFS's API from {self.endpoint}, came something else "
                f"({type(error).__name__}: {str(error).splitlines()[0]}); "
                "check that the lakefs_default connection names lakeFS itself and not a proxy or another service"
            ) from error


def translated(doing: str, endpoint: str, status: int | None, said: str | None) -> LakeError | UnavailableError:
    """The Slipway error for an HTTP status of lakeFS (its pkg/api/controller.go) and what the server said."""
    came = f"{doing}: lakeFS at {endpoint} answered {status} ({said or 'no message'})"
    match status:
        case 400 if said and "no changes" in said:
            return NoChangesError(came)
        case 401 | 403:
            return LakeDeniedError(f"{came}; check the access key, and whether the branch is protected")
        case 404 | 410:
            return LakeNotFoundError(f"{came}; check the repository, the reference and the path")
        case 409:
            return LakeConflictError(came)
        case 412:
            return LakeError(f"{came}; a lakeFS hook or precondition refused it: see the repository's Actions page")
        case 501:
            return LakeError(f"{came}; this server does not offer the operation")
        case 423 | 429 | 0 | None:  # lakeFS said 423 before its #9364, now 429.
            return UnavailableError(f"{came}; try again later")
        case _ if status >= 500:
            return UnavailableError(f"{came}; try again later, and see the server's log")
    return LakeError(f"{came}; correct the request")


def _said(body: Any) -> str | None:
    """The ``message`` of an error body, where there is one."""
    try:
        message = json.loads(body)["message"]
    except (TypeError, ValueError, KeyError):
        return None
    return str(message)
