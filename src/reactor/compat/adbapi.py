"""`twisted.enterprise.adbapi`: a database of DB-API 2 (PEP 249), used in threads, with Deferreds of the results.

    pool = ConnectionPool("sqlite3", "file.db", check_same_thread=False)
    pool.runQuery("SELECT name FROM users WHERE age > ?", (18,)).addCallback(print)

Each thread of the pool has a connection of its own, which it keeps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, TypeVar

from reactor._functions import functions
from reactor._logger import getLogger
from reactor.defer import Deferred
from reactor.failure import safeRepr
from reactor.threads import deferToThreadPool

T = TypeVar("T")

log = getLogger("reactor.adbapi")


class ConnectionLost(Exception):
    """A connection was lost and, with cp_reconnect, has been opened anew: the transaction can be tried again."""


class Connection:
    """A connection of a thread, with the methods of PEP 249's, and reconnect()."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._connection: Any = None
        self.reconnect()

    def close(self) -> None:
        """Do nothing: the pool keeps its connections. ConnectionPool.disconnect closes one."""

    def rollback(self) -> None:
        """Roll the transaction back. With cp_reconnect, a connection that cannot is opened anew: ConnectionLost."""
        if not self._pool.reconnect:
            self._connection.rollback()
            return
        try:
            self._connection.rollback()
            cursor = self._connection.cursor()
            cursor.execute(self._pool.good_sql)
            cursor.close()
            self._connection.commit()
        except Exception as error:
            log.error("A rollback has failed", exc_info=error)
            self._pool.disconnect(self._connection)
            raise ConnectionLost from error

    def reconnect(self) -> None:
        """Take the thread's connection of the pool, which is opened if there is none."""
        self._connection = self._pool.connect()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Transaction:
    """A cursor in a transaction. Its methods are those of PEP 249's cursor. With it, a thread must not wait for others.

    Each call may use the database, so only the thread of the interaction may make one.
    """

    _cursor: Any = None

    def __init__(self, pool: ConnectionPool, connection: Connection) -> None:
        self._pool = pool
        self._connection = connection
        self.reopen()

    def close(self) -> None:
        """Close the cursor."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()

    def reopen(self) -> None:
        """Open a new cursor. With cp_reconnect, a lost connection is opened anew first."""
        self.close()
        try:
            self._cursor = self._connection.cursor()
            return
        except Exception as error:
            if not self._pool.reconnect:
                raise
            log.error("A connection cannot give a cursor, and is opened anew", exc_info=error)
        self.reconnect()
        self._cursor = self._connection.cursor()

    def reconnect(self) -> None:
        """Open the connection anew."""
        self._connection.reconnect()
        self._cursor = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class ConnectionPool:
    """A pool of connections to one database.

    `dbapiName` is the module to import; `connargs` and `connkw` are the arguments of its connect(). The pool
    closes with the reactor. Options:

    - `cp_min` and `cp_max`: threads, 3 and 5 by default;
    - `cp_noisy`: log each opening and closing;
    - `cp_openfun`: a function that is called with each new connection;
    - `cp_reconnect` and `cp_good_sql`: see Connection.rollback;
    - `cp_reactor`: None is the current one.
    """

    CP_ARGS = ("min", "max", "name", "noisy", "openfun", "reconnect", "good_sql")
    noisy = False
    min = 3
    max = 5
    name: str | None = None
    openfun: Callable[[Any], Any] | None = None
    reconnect = False
    good_sql = "select 1"
    running = False
    connectionFactory: Callable[[ConnectionPool], Any] = Connection
    transactionFactory: Callable[[ConnectionPool, Any], Any] = Transaction

    def __init__(self, dbapiName: str, *connargs: Any, **connkw: Any) -> None:
        self.dbapiName = dbapiName
        self.dbapi = import_module(dbapiName)
        if getattr(self.dbapi, "apilevel", None) != "2.0":
            log.warning("DB API module not DB API 2.0 compliant: %s", dbapiName)
        if getattr(self.dbapi, "threadsafety", 0) < 1:
            log.warning("DB API module not sufficiently thread-safe: %s", dbapiName)
        self._reactor = connkw.pop("cp_reactor", None)
        self.connargs = connargs
        self.connkw = connkw
        for name in self.CP_ARGS:
            if f"cp_{name}" in connkw:
                setattr(self, name, connkw.pop(f"cp_{name}"))
        self.min = min(self.min, self.max)
        self.connections: dict[int, Any] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._trigger: Any = None

    @property
    def reactor(self) -> Any:
        """The reactor in whose thread the Deferreds fire."""
        return functions if self._reactor is None else self._reactor

    def start(self) -> None:
        """Start, which the first use does. The reactor's end closes the pool."""
        if not self.running:
            self.running = True
            self._threads = ThreadPoolExecutor(self.max, thread_name_prefix=self.name or "adbapi")
            self._trigger = self.reactor.addSystemEventTrigger("during", "shutdown", self._atTheEnd)

    def runWithConnection(self, func: Callable[..., T], *args: Any, **kw: Any) -> Deferred[T]:
        """Call `func(connection, ...)` in a thread, then commit. Without success roll back, and fail with the error."""
        return self._inThread(self._runWithConnection, func, *args, **kw)

    def runInteraction(self, interaction: Callable[..., T], *args: Any, **kw: Any) -> Deferred[T]:
        """Call `interaction(transaction, ...)` in a thread, then commit. Without success roll back, and fail."""
        return self._inThread(self._runInteraction, interaction, *args, **kw)

    def runQuery(self, *args: Any, **kw: Any) -> Deferred[Any]:
        """Execute a statement, and return a Deferred of all rows of its result. The arguments are execute()'s."""
        return self.runInteraction(self._runQuery, *args, **kw)

    def runOperation(self, *args: Any, **kw: Any) -> Deferred[None]:
        """Execute a statement, and return a Deferred of None. The arguments are execute()'s."""
        return self.runInteraction(self._runOperation, *args, **kw)

    def _inThread(self, call: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        self.start()
        assert self._threads is not None
        return deferToThreadPool(self.reactor, self._threads, call, *args, **kw)

    def _runWithConnection(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        connection = self.connectionFactory(self)
        try:
            result = func(connection, *args, **kw)
            connection.commit()
        except BaseException:
            self._rollBack(connection)
            raise
        return result

    def _runInteraction(self, interaction: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        connection = self.connectionFactory(self)
        transaction = self.transactionFactory(self, connection)
        try:
            result = interaction(transaction, *args, **kw)
            transaction.close()
            connection.commit()
        except BaseException:
            self._rollBack(connection)
            raise
        return result

    def _rollBack(self, connection: Any) -> None:
        try:
            connection.rollback()
        except Exception as error:
            log.error("Rollback failed", exc_info=error)

    def _runQuery(self, transaction: Any, *args: Any, **kw: Any) -> Any:
        transaction.execute(*args, **kw)
        return transaction.fetchall()

    def _runOperation(self, transaction: Any, *args: Any, **kw: Any) -> None:
        transaction.execute(*args, **kw)

    def threadID(self) -> int:
        """Return the number of the calling thread."""
        return threading.get_ident()

    def connect(self) -> Any:
        """Return the calling thread's connection, which is opened if need be. For threads of the pool."""
        thread = self.threadID()
        connection = self.connections.get(thread)
        if connection is None:
            if self.noisy:
                log.info("adbapi connecting: %s", self.dbapiName)
            connection = self.dbapi.connect(*self.connargs, **self.connkw)
            if self.openfun is not None:
                self.openfun(connection)
            self.connections[thread] = connection
        return connection

    def disconnect(self, conn: Any) -> None:
        """Close the calling thread's connection. Exception if `conn` is another one."""
        thread = self.threadID()
        if conn is not self.connections.get(thread):
            raise Exception("wrong connection for thread")
        if conn is not None:
            self._close(conn)
            del self.connections[thread]

    def close(self) -> None:
        """Close all connections, after the calls that are under way."""
        if self._trigger is not None:
            self.reactor.removeSystemEventTrigger(self._trigger)
            self._trigger = None
        self.finalClose()

    def _atTheEnd(self) -> Deferred[None] | None:
        """Wait in a thread for the calls that are under way, as the loop must not wait; then close."""
        self._trigger = None
        threads = self._threads
        if threads is None:
            return None
        waiter = ThreadPoolExecutor(1, thread_name_prefix="adbapi-end")
        ended: Deferred[Any] = deferToThreadPool(self.reactor, waiter, threads.shutdown, True, cancel_futures=True)
        waiter.shutdown(wait=False)
        return ended.addBoth(lambda _: self.finalClose())

    def finalClose(self) -> None:
        """Wait for the calls that are under way, and close all connections."""
        self._trigger = None
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)
        self.running = False
        for connection in self.connections.values():
            self._close(connection)
        self.connections.clear()

    def _close(self, connection: Any) -> None:
        if self.noisy:
            log.info("adbapi closing: %s", self.dbapiName)
        try:
            connection.close()
        except Exception as error:
            log.error("Connection close failed: %s", safeRepr(connection), exc_info=error)


__all__ = ["Connection", "ConnectionLost", "ConnectionPool", "Transaction"]
