"""The same server on asyncio's protocols: `asyncio` or `uvloop`, port."""

import asyncio
import logging
import sys

if sys.argv[1] == "uvloop":
    from uvloop import new_event_loop
else:
    from asyncio import new_event_loop


class Pong(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        *lines, self.buffer = (self.buffer + data).split(b"\r\n")
        for line in lines:
            self.lineReceived(line)

    def lineReceived(self, line: bytes) -> None:
        self.transport.write(b"+PONG\r\n")


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Pong, "127.0.0.1", int(sys.argv[2]))
    await server.serve_forever()


logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of every client that leaves before its last answer
loop = new_event_loop()
loop.run_until_complete(main())
