"""TLS of a place to listen: the contexts of its certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reactor._certificates import Path
from reactor._later import later
from reactor.tlsoptions import CertificateOptions

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())

VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}  # their names in ssl.TLSVersion
TICKETS = 2  # of TLS 1.3, the ssl module's own number


class _Options(CertificateOptions):
    """CertificateOptions without session tickets in any version of TLS, or with them if `hasTickets` is set."""

    hasTickets = False

    def _makeContext(self, chain: Path | None = None) -> ssl.SSLContext:
        context = super()._makeContext(chain)
        if self.hasTickets:
            context.num_tickets = TICKETS
        else:
            context.options |= ssl.OP_NO_TICKET
        return context


class _WithTickets(_Options):
    hasTickets = True


def contextFactory(
    cert: str,
    key: str | None = None,
    clientCa: str | None = None,
    tlsMinimum: str | None = None,
    sessionTickets: bool | None = None,
) -> CertificateOptions:
    """Return the contexts of a server with these PEM files. OSError or ValueError if the files cannot be used.

    With `clientCa`, clients must show a certificate that leads to it. `tlsMinimum` is "1.2" or "1.3". Session tickets
    are off unless `sessionTickets` is true. Renewed files count for new connections.
    """
    make = _WithTickets if sessionTickets else _Options
    lowest = ssl.TLSVersion[VERSIONS[tlsMinimum or "1.2"]]
    return make(cert, key, trustRoot=clientCa, minimumVersion=lowest)
