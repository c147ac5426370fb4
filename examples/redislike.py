"""A store of strings, with channels, that speaks the protocol of Redis (RESP2) as far as the commands below go.

A command is an array of bulk strings, or a line of words. Each bulk string is a line with its size, and raw data.

python examples/redislike.py [PORT]
"""

import sys
from typing import Any

import reactor
from reactor import Factory, Failure, LineReceiver, TimeoutMixin
from reactor.interfaces import IAddress

MOST_CONNECTIONS = 100
IDLE_SECONDS = 600
LONGEST_LINE = 8192
MOST_ARGUMENTS = 1024
LARGEST_BULK = 1 << 20
LARGEST_COMMAND = 4 << 20  # bytes of all its arguments
LARGEST_ANSWER = 8 << 20
MEMORY = 64 << 20  # bytes of all keys and values, with OVERHEAD for each
OVERHEAD = 300
LONGEST_NAME = 256  # of a channel
MOST_CHANNELS = 64  # of one client
MOST_UNSENT = 2 << 20  # bytes for a subscriber: one that reads too slowly is closed


class Refused(Exception):
    """A command is wrong. The text is for the client."""


def integer(text: bytes) -> int:
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 19 or not -(1 << 63) <= int(text) < 1 << 63:
        raise Refused("ERR value is not an integer or out of range")
    return int(text)


class Store:
    """Values and their deadlines by key. Keys that have expired go when they are asked for, or when space is needed."""

    def __init__(self) -> None:
        self.values: dict[bytes, tuple[bytes, float | None]] = {}
        self.size = 0

    def find(self, key: bytes) -> tuple[bytes | None, float | None]:
        value, until = self.values.get(key, (None, None))
        if until is not None and until <= reactor.seconds():
            self.remove(key)
            return None, None
        return value, until

    def get(self, key: bytes) -> bytes | None:
        return self.find(key)[0]

    def put(self, key: bytes, value: bytes, until: float | None = None) -> None:
        added = len(key) + len(value) + OVERHEAD
        if self.size + added > MEMORY:
            self.count()
            old = self.get(key)
            if self.size + added - (0 if old is None else len(key) + len(old) + OVERHEAD) > MEMORY:
                raise Refused("OOM command not allowed when used memory is more than the limit")
        self.remove(key)
        self.values[key] = value, until
        self.size += added

    def remove(self, key: bytes) -> bool:
        value, _ = self.values.pop(key, (None, None))
        if value is not None:
            self.size -= len(key) + len(value) + OVERHEAD
        return value is not None

    def count(self) -> int:
        for key in list(self.values):
            self.find(key)
        return len(self.values)


def encoded(answer: Any) -> bytes:
    """The answer in RESP2: str for a status, bytes for a bulk string, None for none, Refused for an error."""
    if isinstance(answer, list):
        return b"*%d\r\n" % len(answer) + b"".join(map(encoded, answer))
    if isinstance(answer, bytes):
        return b"$%d\r\n%b\r\n" % (len(answer), answer)
    if isinstance(answer, int):
        return b":%d\r\n" % answer
    if isinstance(answer, Refused):
        return f"-{answer}\r\n".encode()
    return b"$-1\r\n" if answer is None else f"+{answer}\r\n".encode()


class RedisServer(LineReceiver, TimeoutMixin):
    MAX_LENGTH = LONGEST_LINE
    hasEnded = False  # whether the peer sends no more
    count = size = missing = 0  # arguments and bytes of the command, and bytes of data, that are still to come

    def connectionMade(self) -> None:
        self.store: Store = self.factory.store
        self.factory.connections += 1
        self.channels: set[bytes] = set()
        self.arguments: list[bytes] = []
        self.data = bytearray()
        self.unsent = 0
        # While much output is unsent, the transport pauses this protocol, and so it makes no more.
        self.transport.registerProducer(self, True)
        self.setTimeout(IDLE_SECONDS)

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections -= 1
        self.setTimeout(None)
        for channel in list(self.channels):
            self.leave(channel)

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        self.hasEnded = True
        if not self.paused:
            self.close()

    def writeConnectionLost(self) -> None:
        self.close()

    def close(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def resumeProducing(self) -> None:
        self.resetTimeout()
        self.unsent = 0
        LineReceiver.resumeProducing(self)
        if self.hasEnded and not self.paused:
            self.close()

    def refuse(self, why: str) -> None:
        self.transport.write(encoded(Refused(f"ERR Protocol error: {why}")))
        self.close()

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse("too big inline request")

    def lineReceived(self, line: bytes) -> None:
        kind, digits = line[:1], line[1:]
        number = int(digits) if digits.isdigit() and len(digits) < 10 else -1
        if self.count:
            if kind != b"$" or not 0 <= number <= LARGEST_BULK or self.size + number > LARGEST_COMMAND:
                self.refuse("invalid bulk length")
                return
            self.size += number
            self.missing = number + 2
            self.setRawMode()
        elif kind == b"*":
            if number > MOST_ARGUMENTS or (number < 0 and digits != b"-1"):
                self.refuse("invalid multibulk length")
                return
            self.count, self.size = max(number, 0), 0
        elif words := line.split():
            self.obey(words)

    def rawDataReceived(self, data: bytes) -> None:
        self.resetTimeout()
        taken = data[: self.missing]
        self.missing -= len(taken)
        self.data += taken
        if self.missing:
            return
        value, self.data = bytes(self.data), bytearray()
        if not value.endswith(b"\r\n"):
            self.refuse("expected the end of a line behind a bulk string")
            return
        self.arguments.append(value[:-2])
        self.count -= 1
        if not self.count:
            words, self.arguments = self.arguments, []
            self.obey(words)
        self.setLineMode(data[len(taken) :])

    def obey(self, words: list[bytes]) -> None:
        self.resetTimeout()
        name = words[0].upper().decode("latin-1")
        least, most, step = ARITIES.get(name, (0, -1, 1))
        try:
            if most < 0:
                raise Refused("ERR unknown command")
            if not least <= len(words) - 1 <= most or (len(words) - 1) % step:
                raise Refused(f"ERR wrong number of arguments for '{name.lower()}' command")
            if self.channels and name not in ("SUBSCRIBE", "UNSUBSCRIBE", "PING", "QUIT"):
                raise Refused(f"ERR Can't execute '{name.lower()}' in this context")
            answer = getattr(self, "do_" + name)(*words[1:])
        except Refused as error:
            answer = error
        # A tuple is several answers.
        self.transport.write(b"".join(map(encoded, answer if isinstance(answer, tuple) else [answer])))
        if name == "QUIT":
            self.close()

    def do_PING(self, *text: bytes) -> Any:
        if self.channels:
            return [b"pong", *(text or [b""])]
        return text[0] if text else "PONG"

    def do_ECHO(self, text: bytes) -> bytes:
        return text

    def do_QUIT(self) -> str:
        return "OK"

    def do_SELECT(self, index: bytes) -> str:
        if integer(index) != 0:
            raise Refused("ERR DB index is out of range")
        return "OK"

    def do_HELLO(self, *words: bytes) -> list[Any]:
        if words and integer(words[0]) != 2:
            raise Refused("NOPROTO unsupported protocol version")
        if words[1:]:
            raise Refused("ERR syntax error in HELLO")
        return [b"server", b"redislike", b"version", b"1.0", b"proto", 2, b"mode", b"standalone", b"role", b"master"]

    def do_CLIENT(self, name: bytes, *words: bytes) -> str:
        if name.upper() not in (b"SETINFO", b"SETNAME"):
            raise Refused("ERR unknown subcommand")
        return "OK"

    def do_COMMAND(self, *words: bytes) -> list[Any]:
        return []

    def do_INFO(self, *words: bytes) -> bytes:
        return b"redis_version:1.0\r\nconnected_clients:%d\r\nused_memory:%d\r\nmaxmemory:%d\r\n" % (
            self.factory.connections,
            self.store.size,
            MEMORY,
        )

    def do_GET(self, key: bytes) -> bytes | None:
        return self.store.get(key)

    def do_SET(self, key: bytes, value: bytes, *options: bytes) -> str | None:
        words = [option.upper() for option in options]
        until, condition = None, b""
        while words:
            word = words.pop(0)
            if word in (b"NX", b"XX") and not condition:
                condition = word
            elif word in (b"EX", b"PX") and words and until is None:
                if (time := integer(words.pop(0))) <= 0:
                    raise Refused("ERR invalid expire time in 'set' command")
                until = reactor.seconds() + (time if word == b"EX" else time / 1000)
            else:
                raise Refused("ERR syntax error")
        if condition and (self.store.get(key) is None) != (condition == b"NX"):
            return None
        self.store.put(key, value, until)
        return "OK"

    def do_MGET(self, *keys: bytes) -> list[bytes | None]:
        values = [self.store.get(key) for key in keys]
        if sum(len(value or b"") for value in values) > LARGEST_ANSWER:
            raise Refused("ERR the answer would be too large")
        return values

    def do_MSET(self, *words: bytes) -> str:
        for key, value in zip(words[::2], words[1::2], strict=True):
            self.store.put(key, value)
        return "OK"

    def do_DEL(self, *keys: bytes) -> int:
        return sum(self.store.get(key) is not None and self.store.remove(key) for key in keys)

    def do_EXISTS(self, *keys: bytes) -> int:
        return sum(self.store.get(key) is not None for key in keys)

    def do_INCR(self, key: bytes) -> int:
        return self.do_INCRBY(key, b"1")

    def do_INCRBY(self, key: bytes, amount: bytes) -> int:
        value, until = self.store.find(key)
        total = b"%d" % (integer(b"0" if value is None else value) + integer(amount))
        number = integer(total)
        self.store.put(key, total, until)
        return number

    def do_EXPIRE(self, key: bytes, seconds: bytes) -> int:
        time, value = integer(seconds), self.store.get(key)
        if value is None:
            return 0
        if time <= 0:
            self.store.remove(key)
        else:
            self.store.values[key] = value, reactor.seconds() + time
        return 1

    def do_TTL(self, key: bytes) -> int:
        value, until = self.store.find(key)
        if value is None:
            return -2
        return -1 if until is None else round(until - reactor.seconds())

    def do_DBSIZE(self) -> int:
        return self.store.count()

    def do_FLUSHDB(self, *words: bytes) -> str:
        self.store.values.clear()
        self.store.size = 0
        return "OK"

    def do_SUBSCRIBE(self, *channels: bytes) -> tuple[list[Any], ...]:
        if len(self.channels.union(channels)) > MOST_CHANNELS or max(map(len, channels)) > LONGEST_NAME:
            raise Refused("ERR too many channels, or too long a name")
        self.setTimeout(None)  # a subscriber may be silent
        answers = []
        for channel in channels:
            self.channels.add(channel)
            self.factory.subscribers.setdefault(channel, set()).add(self)
            answers.append([b"subscribe", channel, len(self.channels)])
        return tuple(answers)

    def do_UNSUBSCRIBE(self, *channels: bytes) -> tuple[list[Any], ...]:
        answers = []
        leaving: list[bytes | None] = [*(channels or sorted(self.channels))]
        for channel in leaving or [None]:
            if channel is not None and channel in self.channels:
                self.leave(channel)
            answers.append([b"unsubscribe", channel, len(self.channels)])
        if not self.channels:
            self.setTimeout(IDLE_SECONDS)
        return tuple(answers)

    def leave(self, channel: bytes) -> None:
        self.channels.discard(channel)
        subscribers = self.factory.subscribers[channel]
        subscribers.discard(self)
        if not subscribers:
            del self.factory.subscribers[channel]

    def do_PUBLISH(self, channel: bytes, message: bytes) -> int:
        subscribers = list(self.factory.subscribers.get(channel, ()))
        data = encoded([b"message", channel, message])
        for subscriber in subscribers:
            subscriber.tell(data)
        return len(subscribers)

    def tell(self, data: bytes) -> None:
        """Send a message, unless this client reads too slowly."""
        if self.paused:
            self.unsent += len(data)
        if self.unsent > MOST_UNSENT:
            self.transport.abortConnection()
        else:
            self.transport.write(data)


ANY = MOST_ARGUMENTS
# The least and the most arguments of each command, and of how many their number is a multiple.
ARITIES: dict[str, tuple[int, int, int]] = {
    **dict.fromkeys(["QUIT", "DBSIZE"], (0, 0, 1)),
    **dict.fromkeys(["ECHO", "SELECT", "GET", "INCR", "TTL"], (1, 1, 1)),
    **dict.fromkeys(["INCRBY", "EXPIRE", "PUBLISH"], (2, 2, 1)),
    **dict.fromkeys(["DEL", "EXISTS", "MGET", "SUBSCRIBE", "CLIENT"], (1, ANY, 1)),
    **dict.fromkeys(["COMMAND", "INFO", "HELLO", "UNSUBSCRIBE"], (0, ANY, 1)),
    "PING": (0, 1, 1),
    "FLUSHDB": (0, 1, 1),
    "SET": (2, 5, 1),
    "MSET": (2, ANY, 2),
}


class RedisFactory(Factory):
    protocol = RedisServer

    def __init__(self) -> None:
        self.store = Store()
        self.subscribers: dict[bytes, set[RedisServer]] = {}
        self.connections = 0

    def buildProtocol(self, addr: IAddress) -> Any:
        if self.connections >= MOST_CONNECTIONS:
            return None
        return Factory.buildProtocol(self, addr)


if __name__ == "__main__":
    port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, RedisFactory(), interface="127.0.0.1")
    print("listening on", port.getHost().port, flush=True)
    reactor.run()
