"""Objects sent as a form's part ``content``, as lakeFS's generated SDK and ``curl -F`` do; streamed like raw bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from slipway.embedded.lakefs_server import arrival
from slipway.embedded.lakefs_server.refusal import invalid

_KIND = b"multipart/form-data"


def is_form(request: Request) -> bool:
    """Whether the body is a form."""
    return parse_options_header(request.headers.get("content-type", ""))[0] == _KIND


class FormUpload:
    """The one part named ``content`` of a form; ``content_type`` is the part's, known when it has been read."""

    def __init__(self, request: Request) -> None:
        boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary")
        if not boundary:
            raise invalid("invalid form: expected a boundary in the content type")
        self._stream = arrival.pieces(request)
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._name,
                "on_header_value": self._value,
                "on_header_end": self._header,
                "on_headers_finished": self._headers,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )
        self.content_type: str | None = None
        self._header_name = self._header_value = b""
        self._part: dict[bytes, bytes] = {}
        self._parts = 0
        self._inside = self._ended = False
        self._pieces: list[bytes] = []

    async def pieces(self) -> AsyncIterator[bytes]:
        """The part's bytes as they come; 400 unless the form is whole and has exactly one such part."""
        async for received in self._stream:
            try:
                self._parser.write(received)
            except MultipartParseError as error:
                raise invalid(f"invalid form: {error}") from error
            for piece in self._pieces:
                yield piece
            self._pieces.clear()
        if not self._ended or self._parts != 1:
            raise invalid("invalid form: expected it whole, with one part named content")

    def _begin(self) -> None:
        self._part = {}

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header(self) -> None:
        self._part[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _headers(self) -> None:
        self._inside = parse_options_header(self._part.get(b"content-disposition"))[1].get(b"name") == b"content"
        if self._inside:
            self._parts += 1
            self.content_type = self._part.get(b"content-type", b"").decode("latin-1") or None

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        self._ended = True
