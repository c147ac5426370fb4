"""The forms of the command's values: converters from text, and the types that stand for them in a file."""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import math
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from reactor._logger import quoted


class WrongValue(argparse.ArgumentTypeError, ValueError):
    """A value that an option does not take. The text tells the form that is needed, and the value."""


class Delimiter(NamedTuple):
    """The end of a line, and whether a CR before it is left out of the line."""

    delimiter: bytes
    stripCR: bool = False


DELIMITERS = {
    "crlf": Delimiter(b"\r\n"),
    "lf": Delimiter(b"\n"),
    "newline": Delimiter(b"\n", True),
    "nul": Delimiter(b"\0"),
}


AUTO = "auto"
FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Form(NamedTuple):
    """The types of a value in a file, and their name in errors."""

    types: tuple[type, ...]
    wanted: str


TEXT = Form((str,), "a text in quotes")
WHOLE = Form((int,), "a whole number")
NUMBER = Form((int, float), "a number")
FLAG = Form((bool,), "true or false")
WHOLE_OR_TEXT = Form((int, str), "a whole number or a text in quotes")
TABLE = Form((dict,), "a table")


def described(value: object) -> str:
    """Return a value of a TOML file, for an error."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    kinds: tuple[tuple[type, str], ...] = (
        (Mapping, "a table"),
        (list, "an array"),
        (datetime.date, "a date"),
        (datetime.time, "a time"),
    )
    for kind, name in kinds:
        if isinstance(value, kind):
            return name
    try:
        return str(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of very many digits"


def checkNoNUL(text: str) -> None:
    """WrongValue if `text` has a NUL, which ends the texts of the system: names of files, users and hosts."""
    if "\0" in text:
        raise WrongValue(f"must not contain a NUL byte, as {quoted(text)} does")


def where(host: str, port: int) -> str:
    """Return host and port as text, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def wholeNumber(low: int, high: float = math.inf) -> Callable[[str], int]:
    """Return a converter to whole numbers from `low` to `high`. Without `high`, the most is the largest of C."""

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= min(high, sys.maxsize):
            isTooLarge = high == math.inf and number > sys.maxsize
            wanted = f"from {low} to {sys.maxsize if isTooLarge else high}"
            wanted = wanted if isTooLarge or high < math.inf else f"of at least {low}"
            raise WrongValue(f"must be a whole number {wanted}, not {quoted(text)}")
        return number

    return convert


def positive(unit: str, high: float = math.inf, low: float = 0.0) -> Callable[[str], float]:
    """Return a converter to positive numbers of `unit`, for example "seconds", from `low` to `high`."""

    def convert(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 0 < number < math.inf:
            raise WrongValue(f"must be a positive number of {unit}, not {quoted(text)}")
        if number < low:
            raise WrongValue(f"must be at least {low:g} {unit}, not {quoted(text)}")
        if number > high:
            raise WrongValue(f"must be at most {high:.15g} {unit}, not {quoted(text)}")
        return number

    return convert


seconds = positive("seconds")


UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
DIGITS = 19  # of the largest numbers of C
LONGEST_PERIOD = 100 * 365 * 86400  # seconds; the calendar of Python ends at the year 9999
PERIODS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def byteCount(text: str) -> int:
    """Convert a positive number of bytes, with a unit of 1024: 512, 64K, 100M, 2G, 1T."""
    number, unit = _split(text.upper().removesuffix("B"), UNITS)
    count = _whole(number)
    if not count or count * UNITS[unit] > sys.maxsize:
        raise WrongValue(f"must be a positive number of bytes, for example 100M, not {quoted(text)}")
    return count * UNITS[unit]


def period(text: str) -> float:
    """Convert a positive whole number of seconds, or of another unit: 30s, 15m, 1h, 1d, 1w."""
    number, unit = _split(text.lower(), PERIODS)
    count = _whole(number)
    if not count or count * PERIODS[unit] > LONGEST_PERIOD:
        raise WrongValue(f"must be a period, for example 3600, 15m, 1h or 1d, not {quoted(text)}")
    return float(count * PERIODS[unit])


def _whole(text: str) -> int:
    """Return the number that the digits of `text` make; 0 if it has other characters, or more digits than a number."""
    return int(text) if text.isdecimal() and len(text) <= DIGITS else 0


def _split(text: str, units: Mapping[str, int]) -> tuple[str, str]:
    unit = text[-1:] if text[-1:] in units else ""
    return text.removesuffix(unit), unit


def workers(text: str) -> int | str:
    """Convert a number of workers, or `auto`."""
    if text == AUTO:
        return AUTO
    try:
        return wholeNumber(1, 1024)(text)
    except WrongValue:
        raise WrongValue(f"must be a whole number from 1 to 1024, or auto, not {quoted(text)}") from None


def flag(text: str) -> bool:
    """Convert a flag of the environment."""
    try:
        return FLAGS[text.lower()]
    except KeyError:
        raise WrongValue(f"must be true or false, not {quoted(text)}") from None


def filled(what: str) -> Callable[[str], str]:
    """Return a converter to texts that are not empty. An empty one is often an unset variable of a shell."""

    def convert(text: str) -> str:
        if not text:
            raise WrongValue(f"must be {what}, not an empty text")
        return text

    return convert


def delimiter(text: str) -> Delimiter:
    """Convert a delimiter's name, or its bytes in hexadecimal."""
    known = DELIMITERS.get(text.lower())
    if known is not None:
        return known
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if not octets:
        names = ", ".join(DELIMITERS)
        raise WrongValue(f"must be one of {names}, or bytes in hexadecimal such as 0d0a, not {quoted(text)}")
    return Delimiter(octets)


def host(text: str) -> str:
    """Convert a host. An empty one is refused: it would mean every interface, and is often an unset variable."""
    if not text:
        raise WrongValue("must be an address, not an empty text; 0.0.0.0 is every IPv4 address of this machine")
    return text


def network(text: str) -> str:
    """Convert a network, as 192.0.2.0/24 or 2001:db8::/32, or one address."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise WrongValue(f"must be a network such as 192.0.2.0/24 or 2001:db8::/32, not {quoted(text)}") from None
    raise WrongValue(f"{quoted(text)} has bits behind its prefix: the network is {meant}")


def balancer(text: str) -> str:
    """Convert a network of balancers, or `unix` for every UNIX socket."""
    return text if text == "unix" else network(text)


def place(text: str) -> str:
    """Convert HOST:PORT, [IPv6]:PORT or unix:PATH, the place of the admin pages."""
    if text.startswith("unix:"):
        if text == "unix:":
            raise WrongValue("must have a path behind unix:")
        return text
    splitPlace(text)
    return text


def splitPlace(text: str, low: int = 0) -> tuple[str, int]:
    """Return the host and the port of HOST:PORT or [IPv6]:PORT. WrongValue for another form."""
    name, colon, number = text.rpartition(":")
    literal = name.startswith("[") and name.endswith("]")
    inner = name[1:-1] if literal else name
    if not colon or not inner or (":" in inner and not literal):
        raise WrongValue(f"must be HOST:PORT or [IPv6]:PORT, not {quoted(text)}")
    port = int(number) if number.isdecimal() and len(number) <= 5 else -1
    if not low <= port <= 65535:
        raise WrongValue(f"the port in {quoted(text)} is no number from {low} to 65535")
    return inner, port


def answer(text: str) -> bytes:
    """Convert the text that a refused client gets, to a line. Bytes that are no UTF-8 stay as they are."""
    if "\r" in text or "\n" in text:
        raise WrongValue(f"must be one line of text, not {quoted(text)}")
    return text.encode("utf-8", "surrogateescape") + b"\r\n"
