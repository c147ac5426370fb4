"""The status page in headless Chromium: what it shows, how it follows the server, and how it is used by keyboard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import EpollReactor
from reactor.service.admin import RemoteSource, adminFactory
from tests.support.browsing import DEADLINE, Browser, Page
from tests.support.statuses import listenerOf, snapshotOf, statusOf

pytestmark = pytest.mark.needs("chromium")

HOSTILE = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>"


class Server:
    """The admin pages on a reactor in a thread of its own, which this feeds."""

    def __init__(self, port: int = 0, most: int = 32) -> None:
        self._reactor = EpollReactor()
        self._source = RemoteSource(version="1.2.3", reactor=self._reactor)
        factory = adminFactory(self._source, maxSubscribers=most)
        self.port = self._reactor.listenTCP(port, factory, interface="127.0.0.1").getHost().port
        self.address = f"http://127.0.0.1:{self.port}/"
        self.now = 1_000_000.0
        self._thread = threading.Thread(target=self._reactor.run, daemon=True)
        self._thread.start()

    def feed(self, *snapshots: dict[str, Any], seconds: float = 1.0, **more: Any) -> None:
        self.now += seconds
        timed = [{**snapshot, "time": self.now} for snapshot in snapshots]
        self._reactor.callFromThread(self._source.feed, statusOf(*timed, now=self.now, **more))

    def stop(self) -> None:
        """End all connections at once. The second call does nothing."""
        if self._thread.is_alive():
            self._reactor.callFromThread(self._reactor.stop)
            self._thread.join(DEADLINE)
            self._reactor.close()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    yield chromium
    chromium.closePages()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def opened(browser: Browser, server: Server, news: float = 1e9, **settings: Any) -> Page:
    """A page that shows the server, and has noted no error. It is not stale before `news` milliseconds have passed."""
    page = browser.page()
    page.show(1440, 900, **settings)
    page.open(server.address)
    page.until(f"document.body.dataset.link === 'live' && (patience.news = {news})")
    assert page.console == []
    return page


def table(page: Page, name: str) -> list[list[str]]:
    """The cells of the rows of a table."""
    rows = f"[...document.querySelectorAll('#{name} tbody tr')]"
    cells: list[list[str]] = page.evaluate(f"{rows}.map((row) => [...row.cells].map((cell) => cell.innerText))")
    return [[text.replace("\xa0", " ") for text in row] for row in cells]


def test_thePageShowsTheNumbers(browser: Browser, server: Server) -> None:
    counts = listenerOf(100, overlong=3, limited={"line-rate": 4}, open=7)
    server.feed(snapshotOf(accepted=100, listeners={"syslog": counts}))
    page = opened(browser, server)
    server.feed(
        snapshotOf(accepted=150, listeners={"syslog": listenerOf(150, overlong=3, limited={"line-rate": 4}, open=7)}),
        restarts=1,
        reloads=2,
    )
    page.until("document.querySelector('#now-lines').textContent === '500'")
    figures = {name: page.text(f"#now-{name}") for name in ("open", "in", "out", "lag", "cpu", "memory", "up")}
    assert figures == {
        "open": "7",
        "in": "4.88KiB/s",
        "out": "48.8KiB/s",
        "lag": "10ms",
        "cpu": "0%",
        "memory": "1,000B",
        "up": "11 d 13 h",
    }
    assert (page.text("#version"), page.text("#state"), page.text("#link")) == ("1.2.3", "Ready", "Live, once a second")
    assert table(page, "listeners") == [
        [
            "syslog\ntcp 127.0.0.1:7000",
            *("7", "150", "300", "500", "1,500", "14.6 KiB", "146 KiB", "3", "5 B", "0"),
        ]
    ]
    assert table(page, "workers") == [
        [
            "1\npid 100, generation 1",
            *("ready", "11 d 13 h", "7", "500", "1.0 ms", "10 ms", "150", "0 %", "1,000 B"),
        ]
    ]
    assert table(page, "refused") == [["denied", "syslog", "300"]]
    assert table(page, "ended") == [["done", "syslog", "450"]]
    assert table(page, "limited") == [["line-rate", "syslog", "4"]]
    assert table(page, "peers") == [["192.0.2.1", "1", "150", "1.46 KiB"]]
    assert table(page, "application") == [["kept", "collect", "150"]]
    assert page.text("#life") == "1 restart, 2 reloads, 0 failed reloads"
    assert page.text("#configuration") == "/etc/linereactor.toml"
    assert page.evaluate("document.title") == "500 lines/s · linereactor"
    assert {address.partition("?")[0] for address in page.requests if not address.startswith("data:")} == {
        server.address,
        server.address + "events",
    }
    assert page.console == []


def test_thePastIsThereAtOnce(browser: Browser, server: Server) -> None:
    for accepted in (0, 10, 30, 20):
        server.feed(snapshotOf(accepted=accepted))
    page = opened(browser, server)
    label = page.until("document.querySelector('#plot-lines svg').getAttribute('aria-label')")
    assert label == "Lines per second of the last 3 minutes: now 0, lowest 0, highest 200"
    assert page.evaluate("charts.lines.points.map(([, value]) => value)") == [100, 200, 0]
    assert page.evaluate("charts.open.points.map(([, value]) => value)") == [1, 1, 1]
    assert page.evaluate("document.querySelector('#plot-lines .stroke').getAttribute('d').split('L').length") == 3


def test_thePastOfAPageIsBounded(browser: Browser, server: Server) -> None:
    for accepted in range(300):
        server.feed(snapshotOf(accepted=accepted))
    page = opened(browser, server)
    page.until("charts.lines.points.length >= 180")
    assert page.evaluate("charts.lines.points.length") <= 186


def test_workersComeAndGo(browser: Browser, server: Server) -> None:
    server.feed(snapshotOf(100, 1), snapshotOf(101, 1, worker=2))
    page = opened(browser, server)
    assert [row[0] for row in table(page, "workers")] == ["1\npid 100, generation 1", "2\npid 101, generation 1"]
    server.feed(snapshotOf(102, 1, worker=2, generation=2, state="starting"), state="draining")
    page.until("document.querySelectorAll('#workers tbody tr').length === 1")
    assert table(page, "workers")[0][:2] == ["2\npid 102, generation 2", "starting"]
    assert page.text("#state") == "Draining"
    server.feed()
    page.until("!!document.querySelector('#workers .none')")
    assert table(page, "workers") == [["No worker yet."]]
    server.feed(snapshotOf(103, 1))
    page.until("document.querySelectorAll('#workers tbody th').length === 1")
    assert page.console == []


def test_namesAreTextAndNeverMarkup(browser: Browser, server: Server) -> None:
    counts = listenerOf(1, addresses=[HOSTILE], refused={HOSTILE: 1}, ended={HOSTILE: 1}, limited={HOSTILE: 1})
    snapshot = snapshotOf(
        listeners={HOSTILE: counts},
        peers=[{"peer": HOSTILE, "open": 1, "lines": 1, "bytes": 1}],
        application={HOSTILE: {HOSTILE: 1}},
        state=HOSTILE,
        generation=HOSTILE,
    )
    server.feed({**snapshot, "generation": 1}, state=HOSTILE)
    page = opened(browser, server)
    assert page.evaluate("document.querySelectorAll('img, script:not(:last-of-type)').length") == 0
    assert page.evaluate("document.scripts.length") == 1
    assert "taken" not in page.evaluate("document.title")
    for name in ("listeners", "refused", "ended", "limited", "peers", "application"):
        assert HOSTILE in table(page, name)[0][0]
    assert page.console == []


def test_thePageSaysThatTheServerIsSilentOrGone(browser: Browser, server: Server) -> None:
    """Stale while no figures come, live again with the next; offline without the server, live with a new one."""
    server.feed(snapshotOf(accepted=1))
    page = opened(browser, server, news=3500)
    page.until("document.body.dataset.link === 'stale'")
    assert page.text("#link").startswith("Stale since ")
    assert page.text("#state") == "Unknown"
    server.feed(snapshotOf(accepted=2))
    page.until("document.body.dataset.link === 'live' && (patience.news = 1e9)")
    assert page.text("#state") == "Ready"
    server.stop()
    page.until("document.body.dataset.link === 'offline'")
    assert page.text("#link").startswith("Offline since ")
    assert page.evaluate("document.title") == "Offline · linereactor"
    assert page.evaluate("document.querySelector('#link').getAttribute('role')") == "status"
    successor = Server(server.port)
    try:
        successor.feed(snapshotOf(accepted=9))
        page.until("document.body.dataset.link === 'live'")
        assert table(page, "listeners")[0][2] == "9"
    finally:
        successor.stop()


def test_aPageThatIsOneTooMany(browser: Browser) -> None:
    server = Server(most=1)
    try:
        server.feed(snapshotOf())
        opened(browser, server)
        page = browser.page()
        page.open(server.address)
        page.until("document.body.dataset.link === 'offline'")
        assert page.evaluate("stream.readyState") == 2
        assert page.evaluate("retry") > 0
    finally:
        server.stop()


FOCUSED = """(() => {
    const focused = document.activeElement;
    return focused.id || focused.getAttribute("aria-label") || focused.textContent;
})()"""


def test_byKeyboard(browser: Browser, server: Server) -> None:
    for accepted in (0, 10, 30):
        server.feed(snapshotOf(accepted=accepted))
    page = opened(browser, server)
    order = []
    for _ in range(8):
        page.press("Tab")
        order.append(page.evaluate(FOCUSED))
    assert order == [
        "Skip to the figures",
        "pause",
        "Lines per second, look back",
        "Open connections, look back",
        "status.json",
        "metrics",
        "readyz",
        "healthz",
    ]
    page.evaluate("document.querySelector('#plot-lines input').focus()")
    page.press("ArrowLeft")
    value = page.evaluate("document.activeElement.getAttribute('aria-valuetext')")
    assert value.startswith("100 at ")
    assert page.text("#plot-lines figcaption span") == value
    page.press("Escape")
    assert page.text("#plot-lines figcaption span") == "lowest 100, highest 200"
    assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "now, 200"


def test_theSkipLinkLeadsToTheFigures(browser: Browser, server: Server) -> None:
    server.feed(snapshotOf())
    page = opened(browser, server)
    page.press("Tab")
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.press("Enter")
    page.until("document.activeElement.id === 'main'")


def test_aPauseHoldsThePage(browser: Browser, server: Server) -> None:
    server.feed(snapshotOf(accepted=1))
    page = opened(browser, server)
    page.evaluate("document.querySelector('#pause').focus()")
    page.press("Enter")
    page.until("document.body.dataset.link === 'paused'")
    assert page.evaluate("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"
    before = page.evaluate("newsAt")
    server.feed(snapshotOf(accepted=50))
    page.until(f"newsAt > {before}")
    assert table(page, "listeners")[0][2] == "1"
    page.press("Enter")
    page.until("document.body.dataset.link === 'live'")
    assert table(page, "listeners")[0][2] == "50"


def test_aPausedPageFindsOutWhenItGoesOn(browser: Browser, server: Server) -> None:
    """The server ends while the page is paused: it says nothing of that until then."""
    server.feed(snapshotOf(accepted=1))
    page = opened(browser, server)
    page.evaluate("document.querySelector('#pause').click()")
    server.stop()
    page.until("stream.readyState !== 1")
    assert page.evaluate("document.body.dataset.link") == "paused"
    page.evaluate("document.querySelector('#pause').click()")
    page.until("document.body.dataset.link === 'offline'")


def test_everyTableHasACaptionAndHeads(browser: Browser, server: Server) -> None:
    server.feed(snapshotOf(accepted=1))
    page = opened(browser, server)
    tables = "[...document.querySelectorAll('table')]"
    assert page.evaluate(f"{tables}.every((table) => table.caption.innerText)")
    assert page.evaluate(
        f"{tables}.every((table) => [...table.tHead.rows[0].cells].every((cell) => cell.scope === 'col'))"
    )
    rows = f"{tables}.flatMap((table) => [...table.tBodies[0].rows])"
    assert page.evaluate(f"{rows}.every((row) => row.querySelector('th[scope=row], .none'))")


def test_noWidthNeedsToScrollSideways(browser: Browser, server: Server) -> None:
    counts = listenerOf(987_654_321, addresses=["tcp [2001:db8:1234:5678:9abc:def0:1234:5678]:65535"], open=123_456)
    name = "a-listener-with-a-name-of-some-length"
    peers = [{"peer": "2001:db8:1234:5678:9abc:def0:1234:5678", "open": 123_456, "lines": 10**9, "bytes": 10**13}]
    server.feed(snapshotOf(123_456, listeners={name: counts}, peers=peers))
    page = opened(browser, server)
    beyond = """
        [...document.querySelectorAll("main td, main th, dd")].filter((cell) => cell.scrollWidth > cell.clientWidth + 1)
            .filter((cell) => cell.clientWidth > 1).map((cell) => cell.textContent)"""
    for width in (320, 390, 820, 1060, 1440):
        page.show(width, 900)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert (width, page.evaluate(beyond)) == (width, [])


def test_nothingMovesAfterTheFirstFigures(browser: Browser, server: Server) -> None:
    """Cumulative layout shift, as browsers measure it: https://web.dev/articles/cls calls 0.1 good."""
    server.feed(snapshotOf(accepted=1))
    page = browser.page()
    observe = """
        window.shifted = 0;
        new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shifted += entry.value; })
            .observe({ type: "layout-shift", buffered: true });"""
    page.call("Page.addScriptToEvaluateOnNewDocument", source=observe)
    page.show(1440, 900)
    page.open(server.address)
    page.until("document.body.dataset.link === 'live'")
    for accepted in (2, 50_000, 3_000_000):
        server.feed(snapshotOf(accepted=accepted))
        page.until(f"sample[1] === {10 * accepted}")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("window.shifted") < 0.01


def test_lightAndDarkAreReadable(browser: Browser, server: Server) -> None:
    """Text has at least the contrast that WCAG 2.2 asks for, 4.5:1; large and disabled text is exempt."""
    server.feed(snapshotOf(accepted=1))
    contrasts = """(() => {
        const light = (text) => {
            const [red, green, blue] = text.match(/[0-9.]+/g).map((part) => part / 255)
                .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
            return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        };
        const paper = light(getComputedStyle(document.documentElement).backgroundColor);
        return [...document.querySelectorAll("body *")].filter((each) => !each.closest(".zero, .skip, svg, noscript"))
            .filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
            .filter((each) => each.tagName !== "SCRIPT").map((each) => {
                const ink = light(getComputedStyle(each).color);
                return [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), each.textContent];
            }).filter(([contrast]) => contrast < 4.5);
    })()"""
    papers = set()
    for dark in (False, True):
        page = opened(browser, server, dark=dark)
        assert page.evaluate(contrasts) == []
        papers.add(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert len(papers) == 2


def test_chartsMoveUnlessTheReaderWantsCalm(browser: Browser, server: Server) -> None:
    server.feed(snapshotOf(accepted=1))
    moves = []
    count = """
        window.moved = 0;
        const animate = Element.prototype.animate;
        Element.prototype.animate = function (...all) { window.moved += 1; return animate.apply(this, all); };"""
    for calm in (False, True):
        page = opened(browser, server, calm=calm)
        page.evaluate(count)
        for accepted in (2, 3, 4):
            server.feed(snapshotOf(accepted=accepted))
            page.until(f"sample[1] === {10 * accepted}")
        moves.append(page.evaluate("window.moved > 0"))
    assert moves == [True, False]
