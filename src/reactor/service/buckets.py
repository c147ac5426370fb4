"""Token buckets: a rate with a burst."""

from __future__ import annotations


class Bucket:
    """Holds up to `room` tokens, and gets `rate` a second. It is full at first. `at` is the time of the last look."""

    __slots__ = ("at", "rate", "room", "tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.room = max(1.0, rate * burst)
        self.tokens = self.room
        self.at = now

    def take(self, count: float, now: float) -> None:
        """Take `count` tokens. There may be fewer than none then: a read is never cut for its bucket."""
        self.tokens = min(self.room, self.tokens + (now - self.at) * self.rate) - count
        self.at = now

    @property
    def wait(self) -> float:
        """The seconds from the last look until there is a whole token; 0 if there is one."""
        return max(0.0, (1.0 - self.tokens) / self.rate)

    def isFull(self, now: float) -> bool:
        """Whether nothing has been taken that is not given back."""
        return self.tokens + (now - self.at) * self.rate >= self.room


class Group:
    """The connections of one address or network: how many are open, and their shared buckets, or None."""

    __slots__ = ("byteBucket", "lineBucket", "open")

    def __init__(self, lineBucket: Bucket | None, byteBucket: Bucket | None) -> None:
        self.open = 0
        self.lineBucket = lineBucket
        self.byteBucket = byteBucket

    def isForgotten(self, now: float) -> bool:
        """Whether a new group would be the same."""
        return not self.open and all(each is None or each.isFull(now) for each in (self.lineBucket, self.byteBucket))


class Groups:
    """The groups of a listener by name. One that has nothing open is kept until its buckets are full again."""

    def __init__(self, lineRate: float | None, byteRate: float | None, burst: float) -> None:
        self._rates = lineRate, byteRate
        self._burst = burst
        self._groups: dict[str, Group] = {}
        self._purgeAt = 1024

    def openIn(self, name: str) -> int:
        """Return the number of open connections in the group `name`."""
        found = self._groups.get(name)
        return 0 if found is None else found.open

    def enter(self, name: str, now: float) -> Group:
        """Count one connection more in the group `name`, and return the group."""
        found = self._groups.get(name)
        if found is None:
            if len(self._groups) >= self._purgeAt:
                self._purge(now)
            lines, data = (None if rate is None else Bucket(rate, self._burst, now) for rate in self._rates)
            found = self._groups[name] = Group(lines, data)
        found.open += 1
        return found

    def leave(self, name: str, now: float) -> None:
        """Count one connection fewer."""
        found = self._groups[name]
        found.open -= 1
        if found.isForgotten(now):
            del self._groups[name]

    def _purge(self, now: float) -> None:
        for name in [name for name, group in self._groups.items() if group.isForgotten(now)]:
            del self._groups[name]
        self._purgeAt = max(1024, 2 * len(self._groups))
