"""The obvious ring: a list with a limit, same API as `feedhandler.core.ring`."""

from typing import Any


class SlowRing:
    """A queue that refuses what would make it longer than `capacity`."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.items: list[Any] = []

    def push(self, value: Any) -> int:
        """1 when there was room, else 0."""
        if len(self.items) == self.capacity:
            return 0
        self.items.append(value)
        return 1

    def pop(self) -> Any:
        """The oldest item, or -1."""
        return self.items.pop(0) if self.items else -1

    def take(self, count: int) -> list[Any]:
        """Up to `count` oldest items."""
        taken, self.items = self.items[:count], self.items[count:]
        return taken

    def size(self) -> int:
        """Items held."""
        return len(self.items)
