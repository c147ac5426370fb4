"""XML-RPC on HTTP: functions that are called by name, and some that take their time.

python examples/xmlrpcserver.py [PORT]
"""

import inspect
import re
import sys
import xmlrpc.client
from collections.abc import Callable
from typing import Any

import reactor
from reactor import deferLater
from reactor.http import HandledRequest, HTTPError, HTTPFactory, Response

LARGEST_CALL = 64 * 1024  # bytes
MOST_CALLS = 100  # of one system.multicall
LONGEST_WAIT = 10  # seconds
DOCTYPE = re.compile(rb"<!DOCTYPE|\0", re.IGNORECASE)  # it defines entities, of any size; a zero is of UTF-16
HEADERS = {"Content-Type": "text/xml"}

NOT_FOUND, BAD_PARAMS, BROKEN, NO_CALL = -32601, -32602, -32603, -32700


def add(*numbers: float) -> float:
    """The sum of numbers."""
    return sum(numbers)


def upper(text: str) -> str:
    """The text in capitals."""
    return text.upper()


async def later(seconds: float, value: Any) -> Any:
    """The value, after some seconds."""
    if not 0 <= seconds <= LONGEST_WAIT:
        raise xmlrpc.client.Fault(BAD_PARAMS, f"seconds must be from 0 to {LONGEST_WAIT}")
    await deferLater(reactor, seconds)
    return value


def names() -> list[str]:
    """The names of all functions."""
    return sorted(FUNCTIONS)


def describe(name: str) -> str:
    """The help of a function."""
    return inspect.getdoc(functionOf(name)) or ""


async def callAll(calls: list[dict[str, Any]]) -> list[Any]:
    """The results of many calls: a list of one value for each, or a fault."""
    if len(calls) > MOST_CALLS:
        raise xmlrpc.client.Fault(BAD_PARAMS, f"at most {MOST_CALLS} calls at once")
    results: list[Any] = []
    for each in calls:
        name = each["methodName"]
        if name == "system.multicall":
            results.append({"faultCode": BAD_PARAMS, "faultString": f"no {name} in another one"})
            continue
        try:
            results.append([await call(name, tuple(each["params"]))])
        except xmlrpc.client.Fault as fault:
            results.append({"faultCode": fault.faultCode, "faultString": fault.faultString})
    return results


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": add,
    "upper": upper,
    "later": later,
    "system.listMethods": names,
    "system.methodHelp": describe,
    "system.multicall": callAll,
}


def functionOf(name: Any) -> Callable[..., Any]:
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise xmlrpc.client.Fault(NOT_FOUND, f"there is no function {name!s:.60}")
    return FUNCTIONS[name]


async def call(name: str, arguments: tuple[Any, ...]) -> Any:
    function = functionOf(name)
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        raise xmlrpc.client.Fault(BAD_PARAMS, f"{name}: {error}") from None
    result = function(*arguments)
    return await result if inspect.isawaitable(result) else result


async def answer(body: bytes) -> bytes:
    """The XML of the answer to the XML of a call."""
    fault: Any
    try:
        if DOCTYPE.search(body):
            raise ValueError("it has a document type, or is UTF-16")
        arguments, name = xmlrpc.client.loads(body, use_builtin_types=True)
        if name is None:
            raise ValueError("no name of a function")
    except Exception as error:
        fault = xmlrpc.client.Fault(NO_CALL, f"not a call: {error}")
        return xmlrpc.client.dumps(fault).encode()
    try:
        return xmlrpc.client.dumps((await call(name, arguments),), methodresponse=True, allow_none=True).encode()
    except xmlrpc.client.Fault as error:
        fault = error
    except Exception as error:
        fault = xmlrpc.client.Fault(BROKEN, f"{name}: {type(error).__name__}")
    return xmlrpc.client.dumps(fault).encode()


async def handler(request: HandledRequest) -> Response:
    if request.method != b"POST":
        raise HTTPError(405, headers={"Allow": "POST"})
    return Response(200, await answer(await request.body), headers=HEADERS)


if __name__ == "__main__":
    factory = HTTPFactory.forHandler(handler)
    factory.maxBodySize = LARGEST_CALL
    port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, factory, interface="127.0.0.1")
    print("listening on", port.getHost().port, flush=True)
    reactor.run()
