"""The rules of RFC 9110 and RFC 9112 that the cases stand for, in our words."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """One rule: where it stands, and what it demands of a server."""

    section: str
    text: str


REQUEST_LINE = Rule(
    "RFC 9112, 3", "A method, a target and a version stand in a line, with one space between two of them."
)
EMPTY_LINES = Rule("RFC 9112, 2.2", "A server should ignore at least one empty line before a request line.")
BARE_LF = Rule("RFC 9112, 2.2", "A line ends with CR LF; a recipient may take a bare LF, and this server does not.")
BARE_CR = Rule("RFC 9112, 2.2", "A recipient refuses a bare CR, or reads a space in its place.")
BEFORE_FIELDS = Rule(
    "RFC 9112, 2.2", "White space between the request line and the first field is no part of a message."
)
VERSION = Rule("RFC 9112, 2.3", "A version is HTTP, a slash, a digit, a point and a digit, in this case of letters.")
MAJOR_VERSION = Rule("RFC 9110, 15.6.6", "505 refuses a major version that the server does not speak.")
MINOR_VERSION = Rule("RFC 9110, 2.5", "A higher minor version is read as the highest one that the recipient knows.")
METHOD = Rule("RFC 9110, 9.1", "A method is a token, and its case counts.")
TARGET = Rule("RFC 9112, 3.2", "A target has one of four forms; a server answers 400 to all others.")
ORIGIN_FORM = Rule("RFC 9112, 3.2.1", "A target may be a path that begins with a slash, and a query; no fragment.")
ABSOLUTE_FORM = Rule("RFC 9112, 3.2.2", "A server takes a whole URI, and its authority stands for the field Host.")
AUTHORITY_FORM = Rule("RFC 9112, 3.2.3", "A host and a port are the target of CONNECT, and of no other method.")
CONNECT = Rule("RFC 9110, 9.3.6", "CONNECT has no content, and HTTP ends behind it.")
ASTERISK_FORM = Rule("RFC 9112, 3.2.4", "An asterisk is the target of OPTIONS, and of no other method.")
USER_INFO = Rule("RFC 9110, 4.2.4", "User information in a URI of untrusted origin is an error.")
HOST = Rule("RFC 9112, 3.2", "400 answers a request of HTTP/1.1 without Host, with two, or with an invalid one.")
FIELD_NAME = Rule("RFC 9110, 5.1", "The name of a field is a token, and its case does not count.")
BEFORE_COLON = Rule("RFC 9112, 5.1", "400 answers white space between a field's name and the colon.")
FIELD_VALUE = Rule("RFC 9110, 5.5", "A value holds no CR, LF or NUL; other controls are invalid, too.")
FIELD_SPACE = Rule("RFC 9112, 5.1", "Spaces and tabs around a value are no part of it.")
FOLDING = Rule("RFC 9112, 5.2", "400 answers a value that goes on in a second line.")
FIELD_ORDER = Rule("RFC 9110, 5.3", "The lines of a field with several ones keep their order.")
LENGTH = Rule("RFC 9110, 8.6", "Content-Length is digits and nothing else; a recipient expects large ones.")
LENGTHS = Rule("RFC 9112, 6.3", "A Content-Length that is invalid or a list is an error that a server cannot mend.")
LENGTH_AND_CODING = Rule(
    "RFC 9112, 6.1", "Both Content-Length and Transfer-Encoding look like smuggling, and may be refused."
)
BODY_LENGTH = Rule("RFC 9112, 6.3", "A body is as long as Content-Length says; without it there is none.")
CODING = Rule("RFC 9112, 6.1", "501 refuses a transfer coding that the server does not know.")
LAST_CODING = Rule("RFC 9112, 6.3", "400 answers a request whose last coding is not chunked.")
CHUNKED_ONCE = Rule("RFC 9112, 6.1", "chunked is applied once, and last.")
OLD_CODING = Rule("RFC 9112, 6.1", "Framing with Transfer-Encoding in HTTP/1.0 is faulty.")
CHUNKED = Rule("RFC 9112, 7.1", "A server must read chunked bodies.")
CHUNK_SIZE = Rule("RFC 9112, 7.1", "The size of a chunk is hexadecimal digits; overflow must not go unseen.")
CHUNK_EXTENSION = Rule("RFC 9112, 7.1.1", "An extension is a name or a name and a value; the length of all is limited.")
CHUNK_END = Rule("RFC 9112, 7.1", "CR LF ends a chunk's data.")
TRAILERS = Rule("RFC 9112, 7.1.2", "Trailers are fields of the same grammar, and end with an empty line.")
TRAILER_NAMES = Rule("RFC 9110, 6.5.1", "Framing and routing have no place in trailers.")
INCOMPLETE = Rule(
    "RFC 9112, 8", "A message whose body has not come whole is incomplete, and no other begins within it."
)
PERSISTENCE = Rule("RFC 9112, 9.3", "A connection persists in HTTP/1.1, unless one side says close.")
OLD_PERSISTENCE = Rule("RFC 9112, 9.3", "A connection of HTTP/1.0 persists if the client says keep-alive.")
CLOSE = Rule("RFC 9112, 9.6", "A server reads no request after one that says close.")
PIPELINE = Rule("RFC 9112, 9.3.2", "Requests that follow each other are answered in their order.")
AFTER_ERROR = Rule("RFC 9112, 9.6", "A server that cannot tell where the next request begins closes the connection.")
EXPECT = Rule("RFC 9110, 10.1.1", "417 may answer an expectation other than 100-continue; in HTTP/1.0 it is ignored.")
UPGRADE = Rule("RFC 9110, 7.8", "A server may ignore Upgrade.")
LONG_LINE = Rule("RFC 9112, 3", "A server must answer 414 to a target that is longer than it can read.")
LARGE_FIELDS = Rule("RFC 6585, 5", "431 refuses fields that are too large, alone or together.")
LARGE_BODY = Rule("RFC 9110, 15.5.14", "413 refuses a body that is larger than the server takes.")
OTHER_PROTOCOL = Rule("RFC 9112, 2.2", "400 answers what does not match the grammar, and the connection closes.")
