"""TLS of a place to listen: the contexts of its certificate."""

from __future__ import annotations

import ssl

from reactor.tlsoptions import CertificateOptions, ContextFactory

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
TICKETS = 2  # of TLS 1.3, the ssl module's own number


class _WithTickets(CertificateOptions):
    """CertificateOptions that let clients resume sessions."""

    def _makeContext(self, chain: object = None) -> ssl.SSLContext:
        context = super()._makeContext(None)
        context.options &= ~ssl.OP_NO_TICKET
        context.num_tickets = TICKETS
        return context


def contextFactory(
    cert: str,
    key: str | None = None,
    clientCa: str | None = None,
    tlsMinimum: str | None = None,
    sessionTickets: bool | None = None,
) -> ContextFactory:
    """Return the contexts of a server with these PEM files. OSError or ValueError if the files cannot be used.

    With `clientCa`, clients must show a certificate that leads to it. `tlsMinimum` is "1.2" or "1.3". Session tickets
    are off unless `sessionTickets` is true. Renewed files count for new connections.
    """
    make = _WithTickets if sessionTickets else CertificateOptions
    lowest = VERSIONS[tlsMinimum or "1.2"]
    return make(cert, key, trustRoot=clientCa, minimumVersion=lowest)
