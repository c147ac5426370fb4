"""The examples of StatsD, DNS, XML-RPC and FTP, each driven by a public client, and by a hostile peer."""

from __future__ import annotations

import contextlib
import ftplib
import io
import pathlib
import random
import re
import socket
import struct
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import dns.exception
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import pytest
import statsd

from examples import dnsresponder, statsdingest, xmlrpcserver
from tests.house.test_examples import DEADLINE, EXAMPLES, Peer, Program

HOST = "127.0.0.1"


@pytest.fixture
def left() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Server:
    """A running example, and its port."""

    def __init__(self, left: ExitStack, name: str, *arguments: object) -> None:
        self.program = left.enter_context(closing(Program(EXAMPLES / f"{name}.py", "twisted", arguments)))
        self.port = self.program.port()

    def stop(self) -> None:
        """It has printed nothing that was not read: no handler has failed."""
        assert self.program.stop() == (0, [])


class TestStatsD:
    def test_aClient(self, left: ExitStack) -> None:
        server = Server(left, "statsdingest", 0, 1)
        for client in (
            statsd.StatsClient(HOST, server.port),
            statsd.TCPStatsClient(HOST, server.port, timeout=DEADLINE),
        ):
            client.incr("hits")
            client.incr("hits", 4)
            client.decr("hits", 2)
            client.gauge("level", 7)
            client.gauge("level", -3, delta=True)
            client.timing("took", 10)
            client.timing("took", 30)
            client.set("users", "ann")
            client.set("users", "bob")
            lines = [server.program.line() for _ in range(4)]
            assert lines == ["count hits 3", "gauge level 4", "timing took 2 min 10 mean 20 max 30", "set users 2"]
            client.close()
            assert server.program.line() == "gauge level 4"  # it stays

    def test_hostileLines(self, left: ExitStack) -> None:
        server = Server(left, "statsdingest", 0, 1)
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            peer.connect((HOST, server.port))
            for datagram in (b"", b"\n\n", b"a:b|c", b"a:1", b"a:1|c|@0", b"x" * 60_000, bytes(range(256)), b"a:2|c\n"):
                peer.send(datagram)
        with closing(Peer(server.port)) as stream:
            stream.socket.sendall(b"x" * 2000 + b"\nb:1|c|@0.5\r\n")
            lines = [server.program.line()]
            while "b 2" not in lines[-1]:
                lines.append(server.program.line())
        assert "count a 2" in lines

    def test_aFoldedFloodHasABound(self) -> None:
        metrics = statsdingest.Metrics()
        for number in range(statsdingest.MOST_NAMES + 5):
            for kind in (b"c", b"g", b"ms", b"s"):
                metrics.add(b"n%d:1|%b" % (number, kind))
        for number in range(statsdingest.MOST_VALUES + 5):
            metrics.add(b"n0:%d|s" % (number + 2))
            metrics.add(b"n0:%d|h" % number)
        assert {len(each) for each in (metrics.counters, metrics.gauges, metrics.timings, metrics.sets)} == {
            statsdingest.MOST_NAMES
        }
        assert (len(metrics.sets["n0"]), len(metrics.timings["n0"])) == (statsdingest.MOST_VALUES,) * 2
        assert metrics.timed["n0"] == statsdingest.MOST_VALUES + 6
        assert metrics.bad == 5 * 4 + 6

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"a",
            b"a:1",
            b"a:1|",
            b"a:1|x",
            b":1|c",
            b"a b:1|c",
            b"a:1|c|",
            b"a:1|c|@2",
            b"a:1|c|@0.0",
            b"a:1e9|c",
            b"a:inf|c",
            b"a:nan|g",
            b"a:--1|g",
            b"a:1|c|@1|x",
            b"a:" + b"9" * 16 + b"|c",
            b"a:1|c\x00",
        ],
    )
    def test_noMetric(self, line: bytes) -> None:
        metrics = statsdingest.Metrics()
        metrics.add(line)
        assert metrics.flush() == ["bad 1"]


class TestDNS:
    def test_aClient(self, left: ExitStack) -> None:
        server = Server(left, "dnsresponder")

        def ask(name: str, kind: str, **settings: Any) -> tuple[str, list[str], int, bool]:
            query = dns.message.make_query(name, kind, **settings)
            answer, overTCP = dns.query.udp_with_fallback(query, HOST, port=server.port, timeout=DEADLINE)
            records = [str(item) for rrset in answer.answer for item in rrset]
            return dns.rcode.to_text(answer.rcode()), records, len(answer.authority), overTCP

        assert ask("example.test", "A") == ("NOERROR", ["192.0.2.1"], 0, False)
        assert ask("WWW.Example.test", "AAAA", use_edns=0) == ("NOERROR", ["2001:db8::80"], 0, False)
        assert ask("www.example.test", "A")[1] == ["192.0.2.80", "192.0.2.81"]
        assert ask("www.example.test", "TXT", use_edns=0) == ("NOERROR", [], 1, False)
        assert ask("no.example.test", "A") == ("NXDOMAIN", [], 1, False)
        assert ask("other.test", "A") == ("REFUSED", [], 0, False)
        assert ask("badexample.test", "A") == ("REFUSED", [], 0, False)
        code, (text,), _, overTCP = ask("large.example.test", "TXT", use_edns=0, payload=4096)
        assert (code, overTCP, len(text.split())) == ("NOERROR", True, 30)
        assert ask("example.test", "A", use_edns=1)[0] == "BADVERS"
        query = dns.message.make_query("example.test", "A")
        query.set_opcode(dns.opcode.NOTIFY)
        answer = dns.query.udp(query, HOST, port=server.port, timeout=DEADLINE)
        assert answer.rcode() == dns.rcode.NOTIMP
        server.stop()

    def test_queriesInARowOnOneConnection(self, left: ExitStack) -> None:
        server = Server(left, "dnsresponder")
        query = dns.message.make_query("example.test", "A").to_wire()
        framed = struct.pack("!H", len(query)) + query
        with closing(Peer(server.port)) as peer:
            for at in range(0, len(framed) * 3, 7):
                peer.socket.sendall((framed * 3)[at : at + 7])
            for _ in range(3):
                size = struct.unpack("!H", peer.file.read(2))[0]
                assert dns.message.from_wire(peer.file.read(size)).answer
        with closing(Peer(server.port)) as peer:
            peer.socket.sendall(struct.pack("!H", dnsresponder.LONGEST_QUERY + 1))
            assert peer.file.read() == b""
        server.stop()

    def test_hostileMessages(self) -> None:
        good = dns.message.make_query("www.example.test", "A", use_edns=0).to_wire()
        assert dnsresponder.answerTo(b"", True) == dnsresponder.answerTo(good[:11], True) == b""
        answer = dnsresponder.answerTo(good, True)
        assert dnsresponder.answerTo(answer, True) == b""  # an answer gets none
        loop = good[:12] + b"\xc0\x0c" + good[-4:]
        assert dnsresponder.answerTo(loop, True)[3] & 15 == dnsresponder.FORMERR
        long = good[:10] + b"\0\0" + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1"
        assert dnsresponder.answerTo(long, True)[3] & 15 == dnsresponder.FORMERR
        for cut in range(12, len(good)):
            assert dnsresponder.answerTo(good[:cut], True)[3] & 15 == dnsresponder.FORMERR
        chance = random.Random(53)
        for _ in range(20_000):
            mutant = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                mutant[chance.randrange(len(mutant))] = chance.randrange(256)
            answer = dnsresponder.answerTo(bytes(mutant), True)
            assert len(answer) <= dnsresponder.MOST_RATIO * len(mutant)
            with contextlib.suppress(dns.exception.DNSException):
                dns.message.from_wire(bytes(mutant))
                if answer:
                    assert dns.message.from_wire(answer).id == struct.unpack_from("!H", mutant)[0]

    @pytest.mark.parametrize("name", ["example.test", "www.example.test", "large.example.test"])
    @pytest.mark.parametrize("kind", ["A", "TXT", "SOA", "NS", "ANY"])
    @pytest.mark.parametrize("payload", [0, 512, 65535])
    def test_anAnswerOverUDPHasABound(self, name: str, kind: str, payload: int) -> None:
        edns: dict[str, Any] = {"use_edns": 0, "payload": payload} if payload else {}
        query = dns.message.make_query(name, kind, **edns).to_wire()
        answer = dnsresponder.answerTo(query, True)
        assert len(answer) <= dnsresponder.MOST_RATIO * len(query)
        assert dns.message.from_wire(answer).id == dns.message.from_wire(query).id


class TestXMLRPC:
    def client(self, left: ExitStack, server: Server) -> Any:
        return left.enter_context(xmlrpc.client.ServerProxy(f"http://{HOST}:{server.port}/", allow_none=True))

    def test_aClient(self, left: ExitStack) -> None:
        server = Server(left, "xmlrpcserver")
        client = self.client(left, server)
        assert client.add(1, 2, 3.5) == 6.5
        assert client.upper("é") == "É"
        assert client.later(0.01, [1, {"a": None}, b"\0\xff"]) == [1, {"a": None}, b"\0\xff"]
        assert client.system.listMethods() == sorted(xmlrpcserver.FUNCTIONS)
        assert client.system.methodHelp("upper") == "The text in capitals."
        many = xmlrpc.client.MultiCall(client)
        many.add(1, 2)
        many.nothing()
        many.upper("b")
        results: Any = many()
        assert results[0] == 3
        with pytest.raises(xmlrpc.client.Fault, match="there is no function nothing"):
            results[1]
        assert results[2] == "B"
        server.stop()

    @pytest.mark.parametrize(
        ("name", "arguments", "code", "text"),
        [
            ("nothing", (), xmlrpcserver.NOT_FOUND, "no function nothing"),
            ("upper", (), xmlrpcserver.BAD_PARAMS, "missing a required argument"),
            ("upper", (1,), xmlrpcserver.BROKEN, "AttributeError"),
            ("later", (99, 1), xmlrpcserver.BAD_PARAMS, "from 0 to 10"),
            ("add.__class__", (), xmlrpcserver.NOT_FOUND, "no function"),
            ("system.multicall", ([{"methodName": "add", "params": []}] * 101,), xmlrpcserver.BAD_PARAMS, "at most"),
        ],
    )
    def test_faults(self, left: ExitStack, name: str, arguments: Any, code: int, text: str) -> None:
        client = self.client(left, Server(left, "xmlrpcserver"))
        with pytest.raises(xmlrpc.client.Fault, match=text) as raised:
            getattr(client, name)(*arguments)
        assert raised.value.faultCode == code

    def test_hostileBodies(self, left: ExitStack) -> None:
        server = Server(left, "xmlrpcserver")
        call = b"<methodCall><methodName>add</methodName></methodCall>"
        bomb = b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY a 'aaaa'>]>" + call
        for body in (b"", b"x", b"<a/>", bomb, bomb.decode().encode("utf-16"), b"<methodCall></methodCall>"):
            with closing(Peer(server.port)) as peer:
                head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
                peer.socket.sendall(head + body)
                answer = peer.file.read()
                assert b" 200 " in answer.split(b"\r\n")[0]
                assert b"-32700" in answer
        for request, code in (
            (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"405"),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n", b"413"),
        ):
            with closing(Peer(server.port)) as peer:
                peer.socket.sendall(request)
                assert peer.file.read().split()[1] == code
        assert self.client(left, server).add(1, 1) == 2
        server.stop()


class TestFTP:
    @pytest.fixture
    def folder(self, tmp_path: pathlib.Path) -> pathlib.Path:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        inside = tmp_path / "inside"
        (inside / "sub").mkdir(parents=True)
        (inside / "a.bin").write_bytes(bytes(range(256)) * 4000)
        (inside / "link").symlink_to(outside)
        (inside / "sub" / "b").write_bytes(b"b")
        (inside / "leak").symlink_to(outside / "secret")
        return inside

    def client(self, left: ExitStack, server: Server) -> ftplib.FTP:
        client = ftplib.FTP()
        client.connect(HOST, server.port, timeout=DEADLINE)
        left.callback(client.close)
        client.login("ann", "secret")
        return client

    @pytest.mark.parametrize("extended", [False, True])
    def test_aClient(self, left: ExitStack, folder: pathlib.Path, extended: bool) -> None:
        server = Server(left, "ftpserver", folder)
        client = self.client(left, server)
        if extended:
            client.af = socket.AF_INET6  # ftplib then says EPSV
        assert client.nlst() == ["a.bin", "leak", "link", "sub"]
        got = io.BytesIO()
        client.retrbinary("RETR a.bin", got.write)
        assert got.getvalue() == (folder / "a.bin").read_bytes()
        client.storbinary("STOR new", io.BytesIO(b"x" * 300_000))
        assert (folder / "new").read_bytes() == b"x" * 300_000
        assert [client.size("new"), client.mkd("d"), client.pwd()] == [300_000, "/d", "/"]
        client.cwd("sub")
        assert [client.pwd(), client.nlst()] == ["/sub", ["b"]]
        client.cwd("..")
        rows: list[str] = []
        client.retrlines("LIST", rows.append)
        assert [row.split()[-1] for row in rows] == ["a.bin", "d", "leak", "link", "new", "sub"]
        assert [row[0] for row in rows] == ["-", "d", "l", "l", "-", "d"]
        client.rmd("d")
        client.delete("new")
        assert client.nlst() == ["a.bin", "leak", "link", "sub"]
        client.quit()
        server.stop()

    def test_noWayOut(self, left: ExitStack, folder: pathlib.Path) -> None:
        server = Server(left, "ftpserver", folder)
        client = self.client(left, server)
        for path in ("../outside/secret", "/../../outside/secret", "link/secret", "leak", "a.bin/x", "no", "sub", "/"):
            with pytest.raises(ftplib.error_perm):
                client.retrbinary(f"RETR {path}", lambda _: None)
            with pytest.raises(ftplib.error_perm):
                client.storbinary(f"STOR {path if path != 'no' else 'link/no'}", io.BytesIO(b"x"))
        for command in ("CWD link", "DELE sub", "RMD a.bin", "MKD link/x", "DELE link/secret", "RMD /", "SIZE leak"):
            with pytest.raises(ftplib.error_perm):
                client.sendcmd(command)
        client.cwd("../../..")
        assert client.pwd() == "/"
        assert (folder.parent / "outside" / "secret").read_bytes() == b"secret"
        assert sorted(path.name for path in (folder.parent / "outside").iterdir()) == ["secret"]
        server.stop()

    def test_commandsByHand(self, left: ExitStack, folder: pathlib.Path) -> None:
        server = Server(left, "ftpserver", folder)
        peer = left.enter_context(closing(Peer(server.port)))

        def say(line: bytes) -> str:
            peer.socket.sendall(line + b"\r\n")
            return peer.file.readline().decode()[:3]

        assert peer.file.readline()[:3] == b"220"
        assert [say(b"PWD"), say(b"USER ann"), say(b"PASS "), say(b"NOOP")] == ["530", "331", "530", "200"]
        assert [say(b"USER ann"), say(b"PASS x"), say(b"ABOR"), say(b"__IN"), say(b"")] == ["331", "230", *["502"] * 3]
        assert [say(b"RETR a.bin"), say(b"LIST"), say(b"STOR a.bin")] == ["425"] * 3
        assert say(b"PORT 127,0,0,1,0,25") == "502"
        assert (folder / "a.bin").stat().st_size == 1_024_000  # the refused STOR left it alone
        assert [say(b"TYPE E"), say(b"TYPE I"), say(b"CWD a\0b")] == ["504", "200", "553"]
        assert say(b"x" * 2000) == "500"
        assert peer.file.readline() == b""
        other = left.enter_context(closing(Peer(server.port)))
        other.socket.sendall(b"USER a\r\nPASS\r\n" * 3)
        assert other.file.read().count(b"530") == 3  # and then the end
        server.stop()

    def test_theDataConnectionIsTheClients(self, left: ExitStack, folder: pathlib.Path) -> None:
        """Another address cannot take it, and a second connection of the client gets nothing."""
        server = Server(left, "ftpserver", folder)
        client = self.client(left, server)
        host, port = client.makepasv()
        with socket.create_connection((host, port), DEADLINE, source_address=("127.0.0.2", 0)) as thief:
            assert thief.recv(1) == b""
        with socket.create_connection((host, port), DEADLINE) as data:
            assert client.sendcmd("RETR a.bin")[:3] == "150"
            got = b""
            while piece := data.recv(65536):
                got += piece
        assert client.voidresp()[:3] == "226"
        assert got == (folder / "a.bin").read_bytes()
        server.stop()

    def test_aTransferThatBreaksOff(self, left: ExitStack, folder: pathlib.Path) -> None:
        (folder / "big").write_bytes(bytes(20_000_000))
        server = Server(left, "ftpserver", folder)
        client = self.client(left, server)
        with socket.create_connection(client.makepasv(), DEADLINE) as data:
            assert client.sendcmd("RETR big")[:3] == "150"
            assert data.recv(1000)
            with pytest.raises(ftplib.error_temp):
                client.sendcmd("PASV")  # one at a time
            data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with pytest.raises(ftplib.error_temp, match="426"):
            client.voidresp()
        assert client.nlst("sub") == ["b"]
        server.stop()


LIMITED = [path for path in sorted(EXAMPLES.glob("*.py")) if "IDLE_SECONDS = " in path.read_text()]


@pytest.mark.parametrize("path", LIMITED, ids=lambda path: path.stem)
def test_connectionsAndIdleTimeHaveALimit(path: pathlib.Path, tmp_path: pathlib.Path, left: ExitStack) -> None:
    """One connection too many is closed at once, and the others when they have been idle for a while."""
    text = path.read_text()
    for name, value in (("MOST_CONNECTIONS", 3), ("IDLE_SECONDS", 1)):
        text, count = re.subn(rf"^{name} = \d+", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1
    (tmp_path / path.name).write_text(text)
    arguments = [str(tmp_path)] if path.stem == "ftpserver" else []
    program = left.enter_context(closing(Program(tmp_path / path.name, "twisted", tuple(arguments))))
    port = program.port()
    kept = [left.enter_context(closing(Peer(port))) for _ in range(3)]
    with closing(Peer(port)) as refused:
        assert refused.file.read() == b""
    begun = time.monotonic()
    for peer in kept:
        with contextlib.suppress(ConnectionResetError):
            peer.file.read()
    assert time.monotonic() - begun > 0.5
    with closing(Peer(port)):
        assert program.stop() == (0, [])
