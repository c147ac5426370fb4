"""The catalogue: public faults of servers and clients of this kind. Each is an exhibit, or has a reason to be none.

The exhibit of a number is the test of its name, with underscores: CVE-2024-12254 is `test_CVE_2024_12254`. A fault
without a number has the name of its project, and the number of its ticket.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    number: str
    project: str
    kind: str  # of fault: one of KINDS


BOUND, QUARREL, TIME, RACE, ORDER, PLAIN, INJECTION, TRUST = KINDS = (
    "a buffer without a bound",
    "a message with two readings",
    "time that grows with the square",
    "a race of accepting and closing",
    "order or identity mixed up",
    "plain bytes taken for protected",
    "text of a peer or a program taken for syntax",
    "a peer or a place that is trusted without proof",
)


def _faults(project: str, kind: str, *numbers: str) -> list[Fault]:
    return [Fault(number, project, kind) for number in numbers]


FAULTS = [
    # The tickets of Twisted 26.10.0, whose six numbers nobody has mapped: see UNMAPPED.
    *_faults("Twisted", BOUND, "twisted-12770", "twisted-12706", "twisted-12707", "twisted-12763"),
    *_faults("Twisted", QUARREL, "twisted-12754"),
    *_faults("Twisted", TIME, "twisted-12787"),
    *_faults("Twisted", TIME, "CVE-2026-42304"),
    *_faults("Twisted", ORDER, "CVE-2024-41671", "CVE-2023-46137"),
    *_faults("Twisted", INJECTION, "CVE-2024-41810", "CVE-2022-39348", "CVE-2019-12387", "CVE-2016-1000111"),
    *_faults("Twisted", QUARREL, "CVE-2022-24801", "CVE-2020-10108", "CVE-2020-10109"),
    *_faults("Twisted", BOUND, "CVE-2022-21716"),
    *_faults("Twisted", BOUND, "CVE-2019-9512", "CVE-2019-9514", "CVE-2019-9515", "CVE-2023-44487"),
    *_faults("Twisted", TRUST, "CVE-2022-21712", "CVE-2019-12855", "CVE-2014-7143"),
    *_faults("CPython", BOUND, "CVE-2024-12254", "CVE-2025-13836", "CVE-2021-3737", "CVE-2013-1752"),
    *_faults("CPython", PLAIN, "CVE-2023-40217", "CVE-2016-0772"),
    *_faults("CPython", RACE, "CVE-2010-3492", "CVE-2010-3493", "CVE-2024-0397"),
    *_faults("CPython", TIME, "CVE-2022-45061", "CVE-2024-7592", "CVE-2020-10735", "CVE-2013-2099"),
    *_faults("CPython", TRUST, "CVE-2013-4238", "CVE-2013-7440"),
    *_faults("CPython", INJECTION, "CVE-2020-26116"),
    *_faults("CPython", RACE, "gh-151615", "gh-131728"),
    *_faults("CPython", BOUND, "gh-109534"),
    *_faults("uvloop", ORDER, "uvloop-645", "uvloop-740", "uvloop-764"),
    *_faults("libuv", TRUST, "CVE-2024-24806", "GLSA-201611-10"),
    *_faults("aiohttp", BOUND, "CVE-2026-22815", "CVE-2026-34516", "CVE-2025-69228"),
    *_faults("aiohttp", BOUND, "aiohttp-3.14.1-pipelining", "aiohttp-3.14.1-split-line", "aiohttp-3.14.1-whole-line"),
    *_faults("aiohttp", QUARREL, "CVE-2026-34525", "CVE-2024-52304", "CVE-2025-53643", "CVE-2024-23829"),
    *_faults("aiohttp", QUARREL, "CVE-2023-47627", "CVE-2023-47641", "CVE-2023-37276", "CVE-2023-30589"),
    *_faults("aiohttp", INJECTION, "CVE-2026-34519", "CVE-2023-49081", "CVE-2023-49082"),
    *_faults("aiohttp", TIME, "CVE-2025-69229", "CVE-2024-30251"),
    *_faults("Tornado", TIME, "CVE-2025-67725", "CVE-2025-67726"),
    *_faults("Tornado", INJECTION, "CVE-2025-67724"),
    *_faults("Tornado", BOUND, "CVE-2025-47287", "CVE-2026-49854", "CVE-2026-49855"),
    *_faults("Tornado", QUARREL, "GHSA-qppv-j76h-2rpx"),
    *_faults("gevent", QUARREL, "CVE-2023-41419"),
    *_faults("eventlet", QUARREL, "CVE-2025-58068"),
    *_faults("eventlet", BOUND, "CVE-2021-21419"),
    *_faults("gunicorn", QUARREL, "CVE-2024-1135", "CVE-2024-6827"),
    *_faults("h11", QUARREL, "CVE-2025-43859"),
    *_faults("waitress", RACE, "CVE-2024-49769", "CVE-2024-49768", "GHSA-9298-4cf8-g4wj", "CVE-2022-31015"),
    *_faults("waitress", TIME, "CVE-2020-5236"),
    *_faults("waitress", QUARREL, "CVE-2019-16785", "CVE-2019-16786", "CVE-2019-16789", "CVE-2019-16792"),
    *_faults("waitress", QUARREL, "CVE-2022-24761"),
    *_faults("uvicorn", INJECTION, "CVE-2020-7694", "CVE-2020-7695"),
    *_faults("Postfix", PLAIN, "CVE-2011-0411"),
    *_faults("aiosmtpd", PLAIN, "CVE-2024-34083"),
    *_faults("Postfix", QUARREL, "CVE-2023-51764"),
    *_faults("sendmail", QUARREL, "CVE-2023-51765"),
    *_faults("Exim", QUARREL, "CVE-2023-51766"),
    *_faults("aiosmtpd", QUARREL, "CVE-2024-27305"),
    *_faults("Redis", BOUND, "CVE-2025-21605"),
    *_faults("memcached", TRUST, "CVE-2018-1000115"),
    *_faults("HAProxy", QUARREL, "CVE-2023-25725", "CVE-2023-40225", "CVE-2021-40346", "haproxy-tlv"),
    *_faults("many servers", BOUND, "CVE-2007-6750"),
    *_faults("TLS libraries", PLAIN, "CVE-2011-1473", "CVE-2009-3555"),
]

# The notes of Twisted 26.10.0 name these numbers, and these tickets, and do not tell which belongs to which.
UNMAPPED = {
    ("CVE-2026-83813", "CVE-2026-115774", "CVE-2026-115775", "CVE-2026-115776", "CVE-2026-115778", "CVE-2026-115877"): (
        *("twisted-12770", "twisted-12706", "twisted-12707", "twisted-12754", "twisted-12763", "twisted-12787"),
    )
}


class Reason(NamedTuple):
    """Why some numbers have no exhibit. No file, class or function of the package has one of `words` in its name."""

    text: str
    words: tuple[str, ...]


REASONS = {
    Reason("The package does not speak telnet.", ("telnet",)): ("twisted-12706",),
    Reason("The package does not speak XMPP.", ("xmpp", "jabber", "stanza")): ("twisted-12707",),
    Reason("The package does not speak IMAP, and makes no pattern of what a peer sends.", ("imap",)): (
        "twisted-12787",
    ),
    Reason("The package speaks HTTP/1.1 only.", ("http2", "hpack", "h2")): (
        *("CVE-2019-9512", "CVE-2019-9514", "CVE-2019-9515", "CVE-2023-44487"),
    ),
    Reason("The package does not read frames of WebSocket.", ("websocket",)): ("CVE-2021-21419",),
    Reason("The race is in CPython. A context tells its store only to the function that makes it.", ()): (
        "CVE-2024-0397",
    ),
}
