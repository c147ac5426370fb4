"""A name server for zone `test`, and a network for one program, in namespaces of their own.

The system removes the namespaces with the last process in them:

    unshare --net --mount -- python -m tests.battery.nameserver 'OPTIONS OF resolv.conf' PROGRAM ARGUMENTS...

It prints the output of PROGRAM, a module, then a line of JSON: its status and the monotonic time of its end. The first
label of a name, without its number, says what becomes of it.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SERVER = ("127.0.0.53", 53)
LOCAL4, LOCAL6 = "127.0.0.1", "::1"
HOLES4, HOLES6 = ("192.0.2.9", "192.0.2.10"), ("2001:db8::9", "2001:db8::10", "2001:db8::11")
MANY = [f"127.7.{high}.{low}" for high in (1, 2) for low in range(256)]

ADDRESSES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "good": ((LOCAL4,), ()),
    "six": ((), (LOCAL6,)),
    "both": ((LOCAL4,), (LOCAL6,)),
    "hole": ((LOCAL4,), HOLES6[:1]),
    "holes": (HOLES4, HOLES6),
    "half": ((LOCAL4,), ()),
    "many": (tuple(MANY), ()),
    "xn--bcher-kva": ((LOCAL4,), ()),
    "empty": ((), ()),
}
CODES = {"servfail": dns.rcode.SERVFAIL, "refuse": dns.rcode.REFUSED}


def kindOf(query: dns.message.Message) -> str:
    name = query.question[0].name
    label = name.labels[0].decode()
    return "good" if len(name.to_text()) > 250 else label.rstrip("0123456789") or label


def answer(question: bytes, limit: int) -> bytes | None:
    """Return the server's answer to a question, in at most `limit` bytes; None for no answer."""
    query = dns.message.from_wire(question)
    asked = query.question[0]
    kind = kindOf(query)
    if kind in ("silent", "mute") and (kind == "silent" or limit > 512):
        return None
    if kind == "half" and asked.rdtype == dns.rdatatype.AAAA:
        return None
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA
    if kind == "mute":  # "ask again over TCP", where it is silent
        reply.flags |= dns.flags.TC
    elif kind == "garbage":  # a compressed name that refers to itself, where an answer should be
        return question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:] + b"\xc0" + bytes([len(question)]) + b"\0" * 9
    elif kind == "circle":
        reply.answer.append(dns.rrset.from_text(asked.name, 1, "IN", "CNAME", asked.name.to_text()))
    elif kind in ADDRESSES:
        found = ADDRESSES[kind][asked.rdtype == dns.rdatatype.AAAA]
        if found and asked.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            reply.answer.append(dns.rrset.from_text(asked.name, 1, "IN", asked.rdtype, *found))
    else:
        reply.set_rcode(CODES.get(kind, dns.rcode.NXDOMAIN))
    try:
        return reply.to_wire(max_size=limit)
    except dns.exception.TooBig:
        reply.answer.clear()
        reply.flags |= dns.flags.TC
        return reply.to_wire()


def serve(datagrams: socket.socket, streams: socket.socket) -> None:
    """Answer for ever, in the thread that calls it."""
    selector = selectors.DefaultSelector()
    for each in (datagrams, streams):
        selector.register(each, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is datagrams:
                question, peer = datagrams.recvfrom(4096)
                if reply := answer(question, 512):
                    datagrams.sendto(reply, peer)
            elif sock is streams:
                selector.register(streams.accept()[0], selectors.EVENT_READ)
            elif not (length := sock.recv(2, socket.MSG_WAITALL)):
                selector.unregister(sock)
                sock.close()
            elif reply := answer(sock.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL), 65535):
                sock.sendall(len(reply).to_bytes(2, "big") + reply)


def run(*command: str) -> None:
    subprocess.run(command, check=True)


@contextlib.contextmanager
def ownFile(path: str, text: str) -> Iterator[None]:
    """Let `path` be a file with this text in this namespace."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        pathlib.Path(file.name).chmod(0o644)
        run("mount", "--bind", file.name, path)
        yield


def makeNetwork() -> None:
    """The loopback, and addresses on a wire at whose other end nobody takes anything."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "hole", "type", "veth", "peer", "name", "bottom")
    run("ip", "address", "add", "192.0.2.1/24", "dev", "hole")
    run("ip", "address", "add", "2001:db8::1/64", "dev", "hole", "nodad")
    for end in ("hole", "bottom"):
        run("ip", "link", "set", end, "up")
    for address in (*HOLES4, *HOLES6):
        run("ip", "neighbour", "add", address, "lladdr", "02:00:00:00:00:09", "dev", "hole")


def main(options: str, *program: str) -> None:
    makeNetwork()
    with contextlib.ExitStack() as stack:
        stack.enter_context(ownFile("/etc/resolv.conf", f"nameserver {SERVER[0]}\noptions {options}\n"))
        stack.enter_context(ownFile("/etc/nsswitch.conf", "hosts: files dns\n"))
        stack.enter_context(ownFile("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"))
        datagrams = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        datagrams.bind(SERVER)
        streams = stack.enter_context(socket.create_server(SERVER))
        threading.Thread(target=serve, args=(datagrams, streams), daemon=True).start()
        status = subprocess.run([sys.executable, "-m", *program], check=False).returncode
        print(json.dumps({"status": status, "end": time.monotonic()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
