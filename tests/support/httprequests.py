"""A request as `serveFile`, FilesHandler and the formatters of logs see it, without a connection."""

from __future__ import annotations

from reactor.address import IPv4Address


class Fields:
    """The headers of a request: values by name, which is in lower case."""

    def __init__(self, pairs: dict[str, str | list[str]]) -> None:
        self.values = {
            name.lower().encode(): [
                value.encode("latin-1") for value in ([values] if isinstance(values, str) else values)
            ]
            for name, values in pairs.items()
        }

    def getRawHeaders(self, name: bytes, default: list[bytes] | None = None) -> list[bytes] | None:
        return self.values.get(name.lower(), default)


class Asked:
    """A request."""

    clientproto = b"HTTP/1.1"
    code = 200
    sentLength = 0
    user = b""
    address: object = IPv4Address("TCP", "192.0.2.7", 4711)

    def __init__(
        self, uri: bytes | str = b"/", method: bytes = b"GET", headers: dict[str, str | list[str]] | None = None
    ) -> None:
        self.method = method
        self.uri = uri.encode("latin-1") if isinstance(uri, str) else uri
        self.path = self.uri.partition(b"?")[0]
        self.requestHeaders = Fields(headers or {})

    def getHeader(self, name: bytes) -> bytes | None:
        values = self.requestHeaders.getRawHeaders(name)
        return values[-1] if values else None

    def getClientAddress(self) -> object:
        return self.address

    def getUser(self) -> bytes:
        return self.user
