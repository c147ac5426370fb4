"""The first lines that `serve` writes: the applications, their addresses, and a command to try one."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reactor._logger import escaped
from reactor.address import UNIXAddress
from reactor.linecore import IMPLEMENTATION
from reactor.serving.logs import say
from reactor.serving.options import version
from reactor.serving.values import where
from reactor.stdio import PipeAddress


@dataclass
class Served:
    """An application as it is announced: its name, a command to try it, and its addresses, each with its kind."""

    name: str
    hint: str
    addresses: list[tuple[str, Any]] = field(default_factory=list)


def adminServed(address: Any) -> Served:
    """Return the admin pages at `address`, to be announced."""
    return Served("admin pages", "", [("unix" if isinstance(address, UNIXAddress) else "tcp", address)])


def announce(served: Sequence[Served], processes: str = "") -> None:
    """Write the applications, their addresses and a command to try one to standard error.

    Standard output may be for lines. A reader of this text may send a signal at once, so it is written when the reactor
    runs. `processes` is a text about workers.
    """
    texts = []
    for each in served:
        places = " and ".join(placeOf(address) for _kind, address in each.addresses)
        texts.append(f"{each.name} on {places}" if places else each.name)
    say(f"linereactor {version()}: {' and '.join(texts)} ({processes}line core: {IMPLEMENTATION})")
    for each in served:
        for kind, address in each.addresses:
            if each.hint and not isinstance(address, PipeAddress):
                say(f"try:  {tryThis(each.hint, kind, address)}")
                return


def tryThis(hint: str, kind: str, address: Any) -> str:
    """Return `hint`, a command line with nc or curl, for a server of this kind and address."""
    if isinstance(address, UNIXAddress):
        path = shlex.quote(placeOf(address))
        return hint.format(place=f"-U {path}", url=f"--unix-socket {path} http://localhost/")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    if "{url}" in hint:
        isSecure = kind in ("ssl", "tls")
        # the certificate need not name this address
        url = f"--insecure https://{where(host, address.port)}/" if isSecure else f"http://{where(host, address.port)}/"
        return hint.format(url=f"--globoff {url}" if ":" in host else url)
    if kind in ("ssl", "tls"):
        place = f"openssl s_client -quiet -connect {where(host, address.port)}"
        return re.sub(r"\bnc( -\w+)? \{place\}", place, hint)
    return hint.format(place=f"{host} {address.port}")


def placeOf(address: Any) -> str:
    """Return an address as text."""
    if isinstance(address, UNIXAddress):
        return escaped(os.fsdecode(address.name or b""))
    return "standard input" if isinstance(address, PipeAddress) else where(address.host, address.port)
