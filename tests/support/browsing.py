"""Headless Chromium, driven by its DevTools protocol: pages, what they write to the console, and what they ask for."""

from __future__ import annotations

import base64
import itertools
import json
import pathlib
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

DEADLINE = 60.0
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class Page:
    """One page. `console` has its errors and warnings, `requests` the addresses that it has asked for."""

    def __init__(self, address: str) -> None:
        self._stack = ExitStack()
        waits: dict[str, Any] = {"max_size": None, "max_queue": None, "ping_interval": None, "proxy": None}
        self._socket: ClientConnection = self._stack.enter_context(connect(address, **waits))
        self._numbers = itertools.count(1)
        self.console: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol, and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=DEADLINE))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._note(message.get("method"), message.get("params", {}))

    def _note(self, method: str, about: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(about["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.console.append(json.dumps(about["args"]))
        elif method == "Log.entryAdded":
            self.console.append(about["entry"]["text"])

    def show(self, width: int, height: int, *, dark: bool = False, calm: bool = False) -> None:
        """Set the size of the window in pixels, the colours and the motion that its user prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, address: str) -> None:
        """Open an address, and wait until the document is there."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState !== 'loading'")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in JavaScript."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector: str) -> str:
        """Return the text of the first element that matches, without its no-break spaces."""
        found = self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")
        return str(found).replace("\xa0", " ")

    def until(self, expression: str, meanwhile: Callable[[], object] = lambda: None) -> Any:
        """Wait until an expression is true, and return its value. AssertionError after DEADLINE."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            value = self.evaluate(expression)
            if value:
                return value
            meanwhile()
            self.evaluate("new Promise((done) => requestAnimationFrame(done))")
        raise AssertionError(f"{expression} is {value!r}; {self.console}; {self.evaluate('document.body.innerText')}")

    def press(self, key: str) -> None:
        """Press and release a key, by the name that JavaScript has for it."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(key, "")
        named = {"key": key, "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def picture(self, path: pathlib.Path) -> None:
        """Save the whole page as a PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self._stack.close()


class Browser:
    """A process of Chromium with a profile of its own in `folder`."""

    def __init__(self, folder: pathlib.Path) -> None:
        profile = folder / "profile"
        self._process = subprocess.Popen(
            ["chromium", *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._port = self._portOf(profile / "DevToolsActivePort")
        self._pages: list[Page] = []

    def _portOf(self, file: pathlib.Path) -> int:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and self._process.poll() is None:
            if file.exists() and (lines := file.read_text().splitlines()):
                return int(lines[0])
            time.sleep(0.02)
        self._process.kill()
        raise AssertionError("Chromium does not start")

    def page(self) -> Page:
        """Return a new page."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            page = Page(json.load(answer)["webSocketDebuggerUrl"])
        self._pages.append(page)
        return page

    def closePages(self) -> None:
        """Close all pages of this object, so that they ask for nothing more."""
        while self._pages:
            page = self._pages.pop()
            page.call("Page.close")
            page.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closePages()
        self._process.terminate()
        self._process.wait(DEADLINE)
