"""Endpoints as strings, for example `tcp:7000:interface=127.0.0.1`, with Twisted's rules.

Parsing takes two steps. `split` knows the grammar: fields between colons, `key=value`, and a backslash before a literal
character. The tables of kinds know the fields of each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from reactor._defaults import BACKLOG, CONNECT_TIMEOUT, SOCKET_MODE
from reactor._later import later
from reactor.endpoints.hostname import HostnameEndpoint
from reactor.endpoints.parsers import clientParser, serverParser
from reactor.endpoints.pemfiles import PEMDirectory, serverOptions, trustIn
from reactor.endpoints.streams import (
    AdoptedStreamServerEndpoint,
    SSL4ClientEndpoint,
    SSL4ServerEndpoint,
    StandardIOEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from reactor.endpoints.systemd import ListenFDs, familyOf
from reactor.endpoints.tls import belowTLS, wrapClientTLS, wrapServerTLS
from reactor.haproxy.listening import proxyEndpoint
from reactor.haproxy.sending import ownHeader, proxyClientEndpoint
from reactor.haproxy.trust import LOCAL, TrustedNetworks
from reactor.tlsoptions import ClientOptions, optionsForClientTLS

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())

# pyOpenSSL's methods, and the one version of TLS that each allows, by its name in ssl.TLSVersion; None: from 1.2 on.
# Others mean older versions.
_METHODS = {
    "TLS_METHOD": None,
    "TLS_SERVER_METHOD": None,
    "SSLv23_METHOD": None,
    "TLSv1_2_METHOD": "TLSv1_2",
}


def quoteStringArgument(argument: str | bytes) -> str:
    """Return `argument` with escapes, as a value for an endpoint's string."""
    return _text(argument).replace("\\", "\\\\").replace(":", "\\:")


def _text(description: str | bytes) -> str:
    """Return an endpoint's string as text. ValueError for bytes that are no UTF-8.

    TypeError if it is neither text nor bytes.
    """
    if not isinstance(description, str | bytes):
        order = ", behind the reactor" if hasattr(description, "callLater") else ""
        raise TypeError(f"an endpoint is described by a text{order}, not {description!r}")
    return description.decode() if isinstance(description, bytes) else description


def split(description: str) -> tuple[list[str], dict[str, str]]:
    """Return the fields of an endpoint's string: those without a key in order, and the others by key."""
    positional: list[str] = []
    named: dict[str, str] = {}
    key: str | None = None
    field = ""

    def endField() -> None:
        if key is None:
            positional.append(field)
        else:
            named[key] = field

    characters = iter(description)
    for character in characters:
        if character == "\\":
            try:
                field += next(characters)
            except StopIteration:
                raise ValueError(f"the endpoint {description!r} ends in a backslash that escapes nothing") from None
        elif character == ":":
            endField()
            key, field = None, ""
        elif character == "=" and key is None:
            key, field = field, ""
        else:
            field += character
    endField()
    return positional, named


def _octal(text: str) -> int:
    return int(text, 8)


def _flag(text: str) -> bool:
    return bool(int(text))


# How the value of a field is read, and its name in errors. Other fields are texts.
_VALUES: dict[str, tuple[Callable[[str], Any], str]] = {
    "port": (int, "a whole number"),
    "backlog": (int, "a whole number"),
    "timeout": (int, "a whole number"),
    "index": (int, "a whole number"),
    "attemptDelay": (float, "a number"),
    "mode": (_octal, "an octal number"),
    "lockfile": (_flag, "0 or 1"),
}


def _escaping(description: str) -> str:
    """Return a hint for an error if the colons of an IPv6 address have ended fields."""
    return r" (a colon inside a field is written \:, as in interface=\:\:1)" if "::" in description else ""


class Kind:
    """A kind of endpoint: its maker, and the fields of its string, in order. `needs` are the required ones."""

    def __init__(self, name: str, make: Callable[..., Any], fields: str = "", needs: str = "") -> None:
        self.name = name
        self.make = make
        self.fields = fields.split()
        self.needs = needs.split()

    def arguments(self, fields: dict[str, str]) -> dict[str, Any]:
        """Return the arguments for `make`, with numbers as numbers. ValueError for a field too many or too few."""
        for key in fields:
            if key not in self.fields:
                raise ValueError(f"{self.name} endpoints have no field {key!r}, they have {self._known()}")
        for key in self.needs:
            if key not in fields:
                raise ValueError(f"a {self.name} endpoint needs a {key}")
        return {key: self._value(key, text) for key, text in fields.items()}

    def byPosition(self, description: str, positional: list[str], named: dict[str, str]) -> dict[str, str]:
        """Return all fields by their keys."""
        if len(positional) > len(self.fields):
            raise self.tooMany()
        fields = dict(zip(self.fields, positional, strict=False))
        for key in fields.keys() & named.keys():
            raise ValueError(
                f"the {self.name} endpoint {description!r} has two values for {key}{_escaping(description)}"
            )
        return {**fields, **named}

    def tooMany(self) -> ValueError:
        """Return the error for more fields than there are."""
        return ValueError(
            f"too many fields for a {self.name} endpoint, which has {self._known()}"
            " (a colon inside a field is written \\:)"
        )

    def _known(self) -> str:
        return ", ".join(self.fields) or "none"

    def _value(self, key: str, text: str) -> Any:
        read, what = _VALUES.get(key, (str, "a text"))
        try:
            return read(text)
        except ValueError:
            raise ValueError(f"the {key} of a {self.name} endpoint is {what}, not {text!r}") from None


def _unixServer(
    reactor: Any, address: str, mode: int = SOCKET_MODE, backlog: int = BACKLOG, lockfile: bool = True
) -> UNIXServerEndpoint:
    return UNIXServerEndpoint(reactor, address, backlog, mode, lockfile)


def _sslServer(
    reactor: Any,
    port: int,
    privateKey: str = "server.pem",
    certKey: str | None = None,
    sslmethod: str = "TLS_METHOD",
    interface: str = "",
    backlog: int = BACKLOG,
    extraCertChain: str | None = None,
    dhParameters: str | None = None,
) -> SSL4ServerEndpoint:
    """Make a server endpoint of TLS. `dhParameters` are ignored: every suite here uses elliptic curves."""
    if sslmethod not in _METHODS:
        raise ValueError(f"the versions of TLS are negotiated, from 1.2 on; sslmethod={sslmethod} cannot be had")
    version = _METHODS[sslmethod]
    only = None if version is None else ssl.TLSVersion[version]
    options = serverOptions(privateKey, certKey, extraCertChain, only)
    return SSL4ServerEndpoint(reactor, port, options, backlog, interface)


def _tlsServer(reactor: Any, path: str, port: int = 443, backlog: int = BACKLOG, interface: str = "::") -> Any:
    return wrapServerTLS(PEMDirectory(path).options(), TCP6ServerEndpoint(reactor, port, backlog, interface))


def _systemdServer(
    reactor: Any, domain: str, index: int | None = None, name: str | None = None
) -> AdoptedStreamServerEndpoint:
    family = familyOf(domain)
    return AdoptedStreamServerEndpoint(reactor, ListenFDs.fromEnvironment().find(index, name), family)


def _unixClient(reactor: Any, path: str, timeout: int = CONNECT_TIMEOUT, lockfile: bool = False) -> UNIXClientEndpoint:
    return UNIXClientEndpoint(reactor, path, timeout, lockfile)


def _clientOptions(host: str, directory: str | None, certificate: str | None, privateKey: str | None) -> ClientOptions:
    own = (certificate, privateKey) if certificate is not None and privateKey is not None else certificate
    return optionsForClientTLS(host, trustIn(directory), own)


def _sslClient(
    reactor: Any,
    host: str,
    port: int,
    timeout: int = CONNECT_TIMEOUT,
    bindAddress: str | None = None,
    privateKey: str | None = None,
    certKey: str | None = None,
    caCertsDir: str | None = None,
    hostname: str | None = None,
) -> SSL4ClientEndpoint:
    options = _clientOptions(hostname or host, caCertsDir, certKey, privateKey)
    return SSL4ClientEndpoint(reactor, host, port, options, timeout, bindAddress)


def _tlsClient(
    reactor: Any,
    host: str,
    port: int,
    timeout: int = CONNECT_TIMEOUT,
    bindAddress: str | None = None,
    certificate: str | None = None,
    privateKey: str | None = None,
    trustRoots: str | None = None,
    endpoint: str | None = None,
) -> Any:
    options = _clientOptions(host, trustRoots, certificate, privateKey)
    if endpoint is not None:
        return wrapClientTLS(options, clientFromString(reactor, endpoint))
    return wrapClientTLS(options, HostnameEndpoint(reactor, host, port, timeout, bindAddress))


# As in Twisted, the names of the first three are case-sensitive, and the others are not.
_SERVERS = {
    kind.name: kind
    for kind in (
        Kind("tcp", TCP4ServerEndpoint, "port interface backlog", "port"),
        Kind("unix", _unixServer, "address mode backlog lockfile", "address"),
        Kind(
            "ssl",
            _sslServer,
            "port privateKey certKey sslmethod interface backlog extraCertChain dhParameters",
            "port",
        ),
        Kind("tcp6", TCP6ServerEndpoint, "port backlog interface", "port"),
        Kind("tls", _tlsServer, "path port backlog interface", "path"),
        Kind("systemd", _systemdServer, "domain index name", "domain"),
        Kind("stdio", StandardIOEndpoint),
    )
}
_EXACT = frozenset({"TCP", "UNIX", "SSL"})
_CLIENTS = {
    kind.name: kind
    for kind in (
        Kind("tcp", TCP4ClientEndpoint, "host port timeout bindAddress", "host port"),
        Kind("tcp6", TCP6ClientEndpoint, "host port timeout bindAddress", "host port"),
        Kind("hostname", HostnameEndpoint, "host port timeout bindAddress attemptDelay", "host port"),
        Kind("unix", _unixClient, "path timeout lockfile", "path"),
        Kind(
            "ssl",
            _sslClient,
            "host port timeout bindAddress privateKey certKey caCertsDir hostname",
            "host port",
        ),
        Kind(
            "tls",
            _tlsClient,
            "host port timeout bindAddress certificate privateKey trustRoots endpoint",
            "host port",
        ),
    )
}


_HAPROXY = "haproxy"


def _foreign(name: str, parser: Any, kinds: dict[str, Kind]) -> Any:
    """Return `parser`, for endpoints of a foreign type. ValueError if it is None."""
    if parser is None:
        raise ValueError(f"unknown endpoint type {name!r}, the types here are {', '.join([*kinds, _HAPROXY])}")
    return parser


def _splitKind(description: str) -> tuple[list[str], dict[str, str]]:
    positional, named = split(description)
    if not positional:
        raise ValueError(f"the endpoint {description!r} does not begin with its type")
    return positional, named


_PLACES = ("inside-tls", "before-tls")

Arguments: TypeAlias = tuple[str, Callable[..., Any], dict[str, Any]]


def serverArguments(description: str | bytes) -> Arguments:
    """Return a server endpoint's kind, its maker, and the arguments from its string (the reactor excluded).

    The kind of a `haproxy` endpoint is that of the endpoint behind the word.
    """
    description = _text(description)
    (name, *positional), named = _splitKind(description)
    return _serverArguments(description, name, positional, named)


def _serverArguments(description: str, name: str, positional: list[str], named: dict[str, str]) -> Arguments:
    if name.lower() == _HAPROXY:
        return _proxiedServer(description, positional, named)
    kind = _SERVERS.get(name if name.upper() in _EXACT else name.lower())
    if kind is None:
        parser = _foreign(name, serverParser(name), _SERVERS)
        return name, lambda reactor: parser.parseStreamServer(reactor, *positional, **named), {}
    if positional == [""] and not kind.fields:
        positional = []
    return kind.name, kind.make, kind.arguments(kind.byPosition(description, positional, named))


class ProxiedMaker:
    """Makes the endpoint of a `haproxy` string. `isBeforeTLS` tells that its header comes in plain, before TLS."""

    def __init__(self, make: Callable[..., Any], trusted: Sequence[str], isBeforeTLS: bool) -> None:
        self._make = make
        self._trusted = trusted
        self.isBeforeTLS = isBeforeTLS

    def __call__(self, reactor: Any, **arguments: Any) -> Any:
        """Return the endpoint."""
        endpoint = self._make(reactor, **arguments)
        return belowTLS(endpoint, self.wrap) if self.isBeforeTLS else self.wrap(endpoint)

    def wrap(self, endpoint: Any) -> Any:
        """Return `endpoint`, another one for the same string, with the header of that string."""
        return proxyEndpoint(endpoint, self._trusted)


def _proxiedServer(description: str, positional: list[str], named: dict[str, str]) -> Arguments:
    """Return the arguments of the endpoint behind the word `haproxy`, and a maker that wraps it."""
    trusted = named.pop("trusted", "").split(",") if "trusted" in named else LOCAL
    place = named.pop("header", _PLACES[0])
    if place not in _PLACES:
        raise ValueError(f"the header of a haproxy endpoint is {' or '.join(_PLACES)}, not {place!r}")
    TrustedNetworks(trusted)
    name, make, arguments = _serverArguments(description, *_behindWord(description, positional), named)
    if place == "before-tls" and name not in ("ssl", "tls"):
        raise ValueError(f"header=before-tls is for the endpoints ssl and tls, not for {name}")
    return name, ProxiedMaker(make, trusted, place == "before-tls"), arguments


def _behindWord(description: str, positional: list[str]) -> tuple[str, list[str]]:
    """Return the type of the endpoint behind the word `haproxy`, and its other fields without a key."""
    if not positional:
        raise ValueError(f"the endpoint {description!r} names no endpoint behind haproxy, as in haproxy:tcp:8080")
    return positional[0], positional[1:]


def serverFromString(reactor: Any, description: str | bytes) -> Any:
    """Return the server endpoint that `description` names. ValueError if it names none, OSError for a bad file.

    - `tcp:PORT[:INTERFACE[:BACKLOG]]`, IPv4; or by key, as in `tcp:7000:interface=127.0.0.1`
    - `tcp6:PORT[:BACKLOG[:INTERFACE]]`, IPv6; a colon in an address is escaped: `tcp6:7000:interface=\\:\\:1`
    - `unix:PATH`, and mode=600 (octal), backlog=50, lockfile=1
    - `ssl:PORT`, and privateKey=server.pem, certKey= (None: the same file), extraCertChain=, interface=, backlog=
    - `tls:DIRECTORY`, of `*.pem` files, one for each host, and port=443, backlog=50, interface=\\:\\:
    - `systemd:domain=INET`, INET6 or UNIX, and name= or index=: a socket that was passed to this process
    - `stdio:`, standard input and output
    - `haproxy:` before another one, as in `haproxy:tcp:7000:trusted=10.0.0.0/8,fd00\\:\\:/8`: connections begin with a
      header of the PROXY protocol. trusted= are the networks to believe, unix among them for UNIX sockets; without it
      they are those of this machine. header=before-tls is for ssl and tls: the header comes in plain, before TLS
    - the types that registerEndpointParser has registered, and Twisted's plugins, if it is installed
    """
    _name, make, arguments = serverArguments(description)
    return make(reactor, **arguments)


def clientFromString(reactor: Any, description: str | bytes) -> Any:
    """Return the client endpoint that `description` names. ValueError if it names none, OSError for a bad file.

    - `tcp:HOST:PORT`, or `tcp:PORT:host=HOST`, or both by key; and timeout=SECONDS, a whole number, bindAddress=HOST
    - `tcp6` and `hostname` with the same; `hostname` tries all addresses of the name, see HostnameEndpoint
    - `unix:PATH`, and timeout=, and lockfile=1 to require a live owner
    - `ssl:HOST:PORT` with the same, and hostname= to verify another name, caCertsDir= for `*.pem` files to trust,
      certKey= and privateKey= for a client's certificate
    - `tls:HOST:PORT`, by `hostname`, with certificate= and privateKey= of the client, and trustRoots=, a directory
      of `*.pem` files to trust; endpoint= replaces the connection below
    - `haproxy:` before another one, as in `haproxy:tcp:HOST:PORT`: each connection begins with a header of the PROXY
      protocol, which names its own ends. It has version 2, or that of version=1. TLS behind the header is
      `tls:HOST:PORT:endpoint=haproxy\\:tcp\\:HOST\\:PORT`
    - the types that registerEndpointParser has registered, and Twisted's plugins, if it is installed
    """
    description = _text(description)
    (name, *positional), fields = _splitKind(description)
    return _makeClient(reactor, description, name, positional, fields)


def _makeClient(reactor: Any, description: str, name: str, positional: list[str], fields: dict[str, str]) -> Any:
    if name.lower() == _HAPROXY:
        version = fields.pop("version", "2")
        if version not in ("1", "2"):
            raise ValueError(f"the version of a haproxy endpoint is 1 or 2, not {version!r}")
        inner = _makeClient(reactor, description, *_behindWord(description, positional), fields)
        return proxyClientEndpoint(inner, ownHeader(int(version)))
    kind = _CLIENTS.get(name.lower())
    if kind is None:
        return _foreign(name, clientParser(name), _CLIENTS).parseStreamClient(reactor, *positional, **fields)
    if kind.name == "tls":
        return kind.make(reactor, **kind.arguments(kind.byPosition(description, positional, fields)))
    # These kinds take only their required fields by position, and prefer those to fields by key.
    if len(positional) > len(kind.needs):
        raise kind.tooMany()
    if len(positional) == len(kind.needs):
        fields.update(zip(kind.needs, positional, strict=True))
    elif positional:
        fields["port" if "host" in fields else "host"] = positional[0]
    return kind.make(reactor, **kind.arguments(fields))
