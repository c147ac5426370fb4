"""A cache that speaks the text protocol of memcached. It holds values in memory, and drops those used least recently.

A command is a line. The value behind a command of storage is raw data of the size that the line gives. A value that is
too large is read and dropped, so the commands behind it still count.

python examples/cacheserver.py [PORT]
"""

import sys
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

import reactor
from reactor import Factory, Failure, LineReceiver, TimeoutMixin
from reactor.interfaces import IAddress

MOST_CONNECTIONS = 100
IDLE_SECONDS = 600
LONGEST_LINE = 8192
LONGEST_KEY = 250
LARGEST_VALUE = 1 << 20
LARGEST_SWALLOWED = 1 << 30  # a size beyond it ends the connection
MEMORY = 64 << 20  # bytes of all keys and values, with OVERHEAD for each
OVERHEAD = 300
MONTH = 30 * 24 * 3600  # a longer time to live is a date, in seconds since 1970


@dataclass
class Item:
    value: bytes
    flags: bytes
    expires: float | None
    unique: int = 0


class Cache:
    """Items by key, the one used least recently first."""

    def __init__(self) -> None:
        self.items: OrderedDict[bytes, Item] = OrderedDict()
        self.size = self.stored = self.evictions = self.hits = self.misses = 0

    def find(self, key: bytes) -> Item | None:
        item = self.items.get(key)
        if item is not None and item.expires is not None and item.expires <= time.time():
            self.remove(key)
            return None
        return item

    def get(self, key: bytes) -> Item | None:
        item = self.find(key)
        if item is None:
            self.misses += 1
        else:
            self.hits += 1
            self.items.move_to_end(key)
        return item

    def put(self, key: bytes, item: Item) -> None:
        self.remove(key)
        self.stored += 1
        item.unique = self.stored
        self.items[key] = item
        self.size += len(key) + len(item.value) + OVERHEAD
        while self.size > MEMORY:
            self.remove(next(iter(self.items)))
            self.evictions += 1

    def remove(self, key: bytes) -> None:
        if (item := self.items.pop(key, None)) is not None:
            self.size -= len(key) + len(item.value) + OVERHEAD

    def flush(self, delay: int) -> None:
        until = time.time() + delay
        for key, item in list(self.items.items()):
            item.expires = until if item.expires is None else min(item.expires, until)
            self.find(key)


def number(text: bytes, most: int = (1 << 64) - 1) -> int:
    """The unsigned decimal number. ValueError if it is none, or more than `most`."""
    if not text.isdigit() or len(text) > 20 or int(text) > most:
        raise ValueError("invalid numeric argument")
    return int(text)


def deadline(text: bytes) -> float | None:
    """The date at which a time to live ends, or None for no end."""
    seconds = -number(text[1:]) if text.startswith(b"-") else number(text)
    if seconds == 0:
        return None
    return time.time() + seconds if seconds <= MONTH else float(seconds)


def checkKey(key: bytes) -> bytes:
    if len(key) > LONGEST_KEY or any(byte <= 32 or byte == 127 for byte in key):
        raise ValueError("bad key")
    return key


class CacheServer(LineReceiver, TimeoutMixin):
    MAX_LENGTH = LONGEST_LINE
    isQuiet = False  # whether the command has noreply
    command: list[bytes]  # what the data belongs to; empty if the data is to be dropped
    missing = 0  # bytes of data, with the line's end behind them

    def connectionMade(self) -> None:
        self.cache: Cache = self.factory.cache
        self.factory.connections += 1
        self.data = bytearray()
        self.wanted: deque[bytes] = deque()  # keys of a get that is not answered yet
        self.hasEnded = False  # whether the peer sends no more
        # While much output is unsent, the transport pauses this protocol, and so it makes no more.
        self.transport.registerProducer(self, True)
        self.setTimeout(IDLE_SECONDS)

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections -= 1
        self.setTimeout(None)

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()

    def close(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        self.hasEnded = True
        if not self.paused:
            self.close()

    def writeConnectionLost(self) -> None:
        self.close()

    def lineLengthExceeded(self, line: bytes) -> None:
        self.sendLine(b"CLIENT_ERROR line too long")
        self.close()

    def lineReceived(self, line: bytes) -> None:
        self.resetTimeout()
        name, *words = line.split() or [b""]
        self.isQuiet = name not in (b"get", b"gets") and words[-1:] == [b"noreply"]
        if self.isQuiet:
            words.pop()
        if name in (b"set", b"add", b"replace", b"append", b"prepend", b"cas"):
            self.expectData(name, words)
            return
        handler = getattr(self, "do_" + name.decode("latin-1"), None)
        try:
            answer = b"ERROR" if handler is None else handler(*words)
        except ValueError as error:
            answer = b"CLIENT_ERROR " + str(error).encode()
        except TypeError:  # the wrong number of words
            answer = b"ERROR"
        self.reply(answer)

    def reply(self, answer: bytes | None) -> None:
        if answer is not None and not self.isQuiet:
            self.sendLine(answer)

    def expectData(self, name: bytes, words: list[bytes]) -> None:
        """Read the data behind a command of storage, whatever else is wrong: it must not pass for commands."""
        self.command = []
        try:
            size = number(words[3], LARGEST_SWALLOWED)
            if len(words) != (5 if name == b"cas" else 4):
                raise ValueError("bad command line format")
        except (IndexError, ValueError):
            self.sendLine(b"CLIENT_ERROR bad command line format")
            self.close()
            return
        try:
            checkKey(words[0])
            number(words[1], (1 << 32) - 1)
            deadline(words[2])
            number(words[-1])
            if size <= LARGEST_VALUE:
                self.command = [name, *words]
            else:
                self.cache.remove(words[0])  # the old value would be wrong
                self.reply(b"SERVER_ERROR object too large for cache")
        except ValueError as error:
            self.reply(b"CLIENT_ERROR " + str(error).encode())
        self.missing = size + 2
        self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        self.resetTimeout()
        taken = data[: self.missing]
        self.missing -= len(taken)
        if self.command:
            self.data += taken
        if self.missing:
            return
        value, self.data = bytes(self.data), bytearray()
        if self.command and not value.endswith(b"\r\n"):
            self.sendLine(b"CLIENT_ERROR bad data chunk")
            self.close()
            return
        if self.command:
            self.reply(self.store(value[:-2], *self.command))
        self.setLineMode(data[len(taken) :])

    def store(self, value: bytes, name: bytes, key: bytes, flags: bytes, ttl: bytes, size: bytes, *cas: bytes) -> bytes:
        old = self.cache.find(key)
        new = Item(value, flags, deadline(ttl))
        if cas and old is None:
            return b"NOT_FOUND"
        if cas and old is not None and old.unique != int(cas[0]):
            return b"EXISTS"
        if name != b"set" and not cas and (old is None) != (name == b"add"):
            return b"NOT_STORED"
        if name in (b"append", b"prepend") and old is not None:
            new = Item(old.value + value if name == b"append" else value + old.value, old.flags, old.expires)
        if len(new.value) > LARGEST_VALUE:
            return b"SERVER_ERROR object too large for cache"
        self.cache.put(key, new)
        return b"STORED"

    def do_get(self, *keys: bytes, hasUnique: bool = False) -> None:
        if not keys:
            raise TypeError
        for key in keys:
            checkKey(key)
        self.hasUnique = hasUnique
        self.wanted.extend(keys)
        self.sendValues()

    def do_gets(self, *keys: bytes) -> None:
        self.do_get(*keys, hasUnique=True)

    def sendValues(self) -> None:
        """Send the wanted values, until the transport has enough of them for now."""
        while self.wanted and not self.paused:
            key = self.wanted.popleft()
            if (item := self.cache.get(key)) is not None:
                unique = b" %d" % item.unique if self.hasUnique else b""
                head = b"VALUE %b %b %d%b" % (key, item.flags, len(item.value), unique)
                self.transport.writeSequence([head, b"\r\n", item.value, b"\r\n"])
            if not self.wanted:
                self.sendLine(b"END")

    def resumeProducing(self) -> None:
        self.resetTimeout()
        self.paused = False
        self.sendValues()
        if not self.paused:
            LineReceiver.resumeProducing(self)
        if self.hasEnded and not self.paused:
            self.close()

    def do_delete(self, key: bytes) -> bytes:
        found = self.cache.find(checkKey(key))
        self.cache.remove(key)
        return b"NOT_FOUND" if found is None else b"DELETED"

    def do_incr(self, key: bytes, amount: bytes) -> bytes:
        return self.change(key, number(amount))

    def do_decr(self, key: bytes, amount: bytes) -> bytes:
        return self.change(key, -number(amount))

    def change(self, key: bytes, amount: int) -> bytes:
        old = self.cache.find(checkKey(key))
        if old is None:
            return b"NOT_FOUND"
        if not old.value.isdigit() or len(old.value) > 20:
            raise ValueError("cannot increment or decrement non-numeric value")
        value = b"%d" % (max(int(old.value) + amount, 0) % (1 << 64))
        self.cache.put(key, Item(value, old.flags, old.expires))
        return value

    def do_touch(self, key: bytes, ttl: bytes) -> bytes:
        until, item = deadline(ttl), self.cache.find(checkKey(key))
        if item is None:
            return b"NOT_FOUND"
        item.expires = until
        return b"TOUCHED"

    def do_flush_all(self, delay: bytes = b"0") -> bytes:
        self.cache.flush(number(delay, MONTH))
        return b"OK"

    def do_stats(self) -> None:
        cache = self.cache
        numbers = {
            "curr_connections": self.factory.connections,
            "curr_items": len(cache.items),
            "bytes": cache.size,
            "limit_maxbytes": MEMORY,
            "evictions": cache.evictions,
            "get_hits": cache.hits,
            "get_misses": cache.misses,
        }
        for name, value in numbers.items():
            self.sendLine(f"STAT {name} {value}".encode())
        self.sendLine(b"END")

    def do_version(self) -> bytes:
        return b"VERSION 1.0"

    def do_quit(self) -> None:
        self.close()


class CacheFactory(Factory):
    protocol = CacheServer

    def __init__(self) -> None:
        self.cache = Cache()
        self.connections = 0

    def buildProtocol(self, addr: IAddress) -> Any:
        if self.connections >= MOST_CONNECTIONS:
            return None
        return Factory.buildProtocol(self, addr)


if __name__ == "__main__":
    port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, CacheFactory(), interface="127.0.0.1")
    print("listening on", port.getHost().port, flush=True)
    reactor.run()
