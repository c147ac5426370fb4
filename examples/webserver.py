"""A small HTTP server. It answers every request with the request's own text.

python examples/webserver.py [PORT]
"""

import sys

import reactor
from reactor.http import HandledRequest, HTTPFactory, Response


async def handler(request: HandledRequest) -> Response:
    body = await request.body
    return Response(200, b"%b %b, %d bytes: %b\n" % (request.method, request.uri, len(body), body))


factory = HTTPFactory.forHandler(handler)
port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, factory, interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
