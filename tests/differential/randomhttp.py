"""Random HTTP programs: requests over one connection, with a plan for the answer of each.

python -m tests.differential.randomhttp SEED     runs one program on both sides, and prints its parts and traces
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from typing import Any

from tests.differential.httpscripts import CUTS, OURS, THEIRS, World, headOf

Step = tuple[Any, ...]
TAGS = (b'"one"', b'"two"')
MOMENTS = (784111776, 784111777, 784111777.5, 784111779)
FIELDS = (
    "X-A: 1",
    "x-a: 2",
    "Accept: */*",
    "Cookie: a=b; c=d",
    "cookie: e=f",
    'If-None-Match: "one"',
    "If-None-Match: *",
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    "If-Modified-Since: never",
    "User-Agent: some thing",
    "Authorization: Basic dXNlcjpwYXNz",
    "Connection: keep-alive",
)


@dataclass
class Asked:
    """A request: its bytes, the steps of process(), and those that are done when all has been received."""

    data: bytes
    steps: list[Step]
    later: list[Step]


def askedOf(rng: random.Random, number: int) -> Asked:
    method = rng.choice(("GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS", "own-method"))
    query = rng.choice(("", "", "?a=1&b=%20&a=2", "?", "?x=%ff+&=y"))
    version = "HTTP/1.0" if rng.random() < 0.05 else "HTTP/1.1"
    fields = list(dict.fromkeys(rng.sample(FIELDS, rng.choice((0, 1, 2, 5)))))
    if sum(field.startswith("If-Mod") for field in fields) > 1:
        fields.remove("If-Modified-Since: never")
    if rng.random() < 0.05 and "Connection: keep-alive" not in fields:  # Twisted looks at the first one only
        fields.append("Connection: close")
    body = b""
    if method in ("POST", "PUT") or rng.random() < 0.1:
        if rng.random() < 0.3:
            fields.append("Content-Type: application/x-www-form-urlencoded")
        body = rng.choice((b"", b"a=b&c=d", b"x" * 100, b"\0\xff\r\n\r\nGET / HTTP/1.1\r\n\r\n"))
        if version == "HTTP/1.1" and rng.random() < 0.4:
            fields.append("Transfer-Encoding: chunked")
            size = rng.choice((1, 7, 1000))
            pieces = [body[start : start + size] for start in range(0, len(body), size)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            body += rng.choice((b"0\r\n\r\n", b"00\r\nX-Trailer: x\r\n\r\n"))
        else:
            fields.append(f"Content-Length: {len(body)}")
    rng.shuffle(fields)
    steps = stepsOf(rng)
    if version == "HTTP/1.0":
        # Ours keeps such a connection, if it is asked to, and tells the length of an answer without a body.
        fields = [field for field in fields if field != "Connection: keep-alive"]
        if not any(step[0] == "write" or step[:2] in (("code", 204), ("code", 304)) for step in steps):
            steps.insert(0, ("header", "content-length", "0"))
    cut = len(steps) if rng.random() < 0.6 else rng.randrange(len(steps) + 1)
    return Asked(headOf(fields, f"/{number}{query}", method, version) + body, steps[:cut], steps[cut:])


def stepsOf(rng: random.Random) -> list[Step]:
    writes = [rng.choice((b"", b"a", b"hello", b"x" * 300)) for _ in range(rng.choice((0, 1, 1, 2, 4)))]
    code = rng.choice((200, 200, 200, 201, 204, 206, 304, 404, 500, 599))
    steps: list[Step] = [step for step in SOME if rng.random() < 0.2]
    rng.shuffle(steps)
    if rng.random() < 0.4:
        steps.append(("code", code))
    elif rng.random() < 0.1:
        steps.append(("redirect", rng.choice((b"/there", "/there"))))
    # With a length, the codes that have no body would be answered in two ways.
    if code not in (204, 304) and rng.random() < 0.5:
        steps.append(("header", "content-length", str(len(b"".join(writes)))))
    for data in writes:
        steps.append(("write", data))
        if rng.random() < 0.2:
            steps.append(rng.choice(SOME))
    steps.append(("finish",))
    return steps


SOME: tuple[Step, ...] = (
    ("header", b"x-own", b"1"),
    ("header", "X-Own", "2"),
    ("header", "content-type", "text/plain; charset=utf-8"),
    ("add", b"x-more", b"1"),
    ("add", "X-More", "ü"),
    ("cookie", {"k": "a", "v": "b", "path": "/", "httpOnly": True}),
    ("cookie", {"k": b"c", "v": b"d", "max_age": b"5", "sameSite": "Lax"}),
    ("etag", TAGS[0]),
    ("etag", TAGS[1]),
    *[("modified", moment) for moment in MOMENTS],
    ("notify",),
    ("get", b"cookie"),
    ("get", "X-A"),
    ("read",),
    ("state",),
    ("user",),
)


class Program:
    """A random program on one side. Each request has a trace of its own, under its number."""

    def __init__(self, seed: int, kit: Any, cut: str) -> None:
        rng = random.Random(seed)
        self.world = World(kit, cut)
        self.rng = random.Random(seed + 1)
        self.asked = [askedOf(rng, number) for number in range(rng.choice((1, 1, 2, 3, 8)))]
        # With several requests, Twisted would have processed the first one alone.
        self.ends = len(self.asked) == 1 and rng.random() < 0.1
        self.said: dict[int, list[Any]] = {}
        self.finished: dict[int, list[str]] = {}  # when that is depends on the requests before it
        self.waiting: list[tuple[Any, list[Step]]] = []

    def run(self) -> list[Any]:
        program = self

        class Request(self.world.http.Request):  # type: ignore[name-defined,misc]
            def process(self) -> None:
                number = int(self.path[1:])
                said = program.said[number] = []
                said.append((self.method, self.uri, self.path, self.args, self.clientproto))
                asked = program.asked[number]
                for step in asked.steps:
                    program.do(self, said, step)
                if asked.later:
                    program.waiting.append((self, asked.later))

        self.world.serve(Request)
        self.world.receive(b"".join(asked.data for asked in self.asked))
        if not self.ends:
            self.answerTheRest()
        self.world.wire()
        self.world.lose()
        return [*self.world.trace, *sorted(self.said.items()), *sorted(self.finished.items())]

    def answerTheRest(self) -> None:
        """Ours hands out all requests at once, and has to send the answers in order, whichever is ready first."""
        while self.waiting:
            place = self.rng.randrange(len(self.waiting)) if self.world.kit.isOurs else 0
            request, steps = self.waiting.pop(place)
            for step in steps:
                self.do(request, self.said[int(request.path[1:])], step)

    def do(self, request: Any, said: list[Any], step: Step) -> None:
        try:
            said.append((step[0], DO[step[0]](self, request, *step[1:])))
        except Exception as error:
            said.append((step[0], "raised", type(error).__name__))


def notify(program: Program, request: Any) -> None:
    ends = program.finished.setdefault(int(request.path[1:]), [])
    request.notifyFinish().addCallbacks(
        lambda _: ends.append("finished"), lambda failure: ends.append(failure.type.__name__)
    )


def read(program: Program, request: Any) -> Any:
    request.content.seek(0)
    return request.content.read()


def state(program: Program, request: Any) -> Any:
    flags = [bool(flag) for flag in (request.startedWriting, request.finished, request.chunked)]
    return *flags, request.code, request.code_message, request.sentLength, request.etag, request.lastModified


DO: dict[str, Any] = {
    "code": lambda program, request, code: request.setResponseCode(code),
    "header": lambda program, request, name, value: request.setHeader(name, value),
    "add": lambda program, request, name, value: request.responseHeaders.addRawHeader(name, value),
    "cookie": lambda program, request, arguments: request.addCookie(**arguments),
    "etag": lambda program, request, tag: bool(request.setETag(tag)),
    "modified": lambda program, request, moment: bool(request.setLastModified(moment)),
    "redirect": lambda program, request, target: request.redirect(target),
    "write": lambda program, request, data: request.write(data),
    "finish": lambda program, request: request.finish(),
    "get": lambda program, request, name: request.getHeader(name),
    "user": lambda program, request: (request.getUser(), request.getPassword()),
    "notify": notify,
    "read": read,
    "state": state,
}


def traces(seed: int) -> tuple[list[Any], list[Any]]:
    """The traces of a program on both sides."""
    cut = sorted(CUTS)[seed % len(CUTS)]
    return Program(seed, OURS, cut).run(), Program(seed, THEIRS, cut).run()


if __name__ == "__main__":
    chosen = int(sys.argv[1])
    for each in Program(chosen, OURS, "whole").asked:
        print(each.data, each.steps, each.later, sep="\n    ")
    for side, trace in zip(("ours", "Twisted's"), traces(chosen), strict=True):
        print(side, *trace, sep="\n    ")
