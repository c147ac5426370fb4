"""The errors of messages: HTTPError carries the status code of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactor.http.codes import RESPONSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class HTTPError(Exception):
    """A request cannot be answered as asked. `code` is the status code of the answer (400 to 599).

    The parser raises it for a message that breaks the rules, with the rule in `text`. A handler may raise it, too: the
    peer then gets `code`, and `text` with an LF as the body, as `text/plain`. Without a `text` it is the code's usual
    reason. `headers` are more fields of the answer: a mapping, or pairs, of bytes or str. ValueError for another code.
    """

    def __init__(
        self,
        code: int,
        text: str = "",
        headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None = None,
    ) -> None:
        if not 400 <= code <= 599:
            raise ValueError(f"the code of an HTTPError is from 400 to 599, not {code!r}")
        super().__init__(code, text)
        self.code = code
        self.text = text or RESPONSES.get(code, b"Error").decode("ascii")
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class BodyLost(Exception):
    """The peer, or the connection, ended before the whole body had arrived (RFC 9112, 8)."""
