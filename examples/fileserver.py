"""A file server: it answers the name of a file with a line that has its size, and with its bytes.

python examples/fileserver.py DIRECTORY [PORT]
"""

import os
import pathlib
import sys
from typing import Any, BinaryIO

import reactor
from reactor import Failure, FileSender, LineReceiver, ServerFactory


class FileServer(LineReceiver):
    MAX_LENGTH = 255

    def lineReceived(self, line: bytes) -> None:
        try:
            file = self.factory.find(line.decode()).open("rb")
        except (OSError, ValueError):
            self.sendLine(b"no such file")
            return
        self.sendLine(b"%d" % os.fstat(file.fileno()).st_size)
        # The next name waits, so answers do not mix, however fast the peer asks and however slowly it reads.
        self.pauseProducing()
        sending = FileSender().beginFileTransfer(file, self.transport)
        sending.addBoth(self.close, file)
        sending.addCallbacks(self.sent, self.stopped)

    def close(self, result: Any, file: BinaryIO) -> Any:
        file.close()
        return result

    def sent(self, lastByte: bytes) -> None:
        self.resumeProducing()

    def stopped(self, failure: Failure) -> None:
        print("a transfer ended early", flush=True)
        self.transport.loseConnection()


class FileServerFactory(ServerFactory):
    protocol = FileServer

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    def find(self, name: str) -> pathlib.Path:
        """Return the path of that file in the directory. ValueError if it is no file, or is elsewhere."""
        path = self.directory / name
        if "/" in name or not path.is_file():
            raise ValueError(name)
        return path


factory = FileServerFactory(pathlib.Path(sys.argv[1]))
port = reactor.listenTCP(int(sys.argv[2]) if sys.argv[2:] else 0, factory, interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
