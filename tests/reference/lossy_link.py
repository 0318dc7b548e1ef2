"""A link between two sans-IO cores in simulated time: it loses, doubles and reorders datagrams."""

import heapq
import random


class LossyLink:
    """Datagrams in by `send`, those that have arrived by `arrived`; chances are from 0 to 1.

    A datagram takes `delay_ns` and up to `jitter_ns` more, so that a later one may overtake it.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        delay_ns: int = 100_000,
        jitter_ns: int = 0,
    ) -> None:
        self._rng = rng
        self._loss, self._duplicate = loss, duplicate
        self._delay_ns, self._jitter_ns = delay_ns, jitter_ns
        self._under_way: list[tuple[int, int, bytes]] = []
        self._sent = 0

    def send(self, data: bytes, now_ns: int) -> None:
        """Put a datagram on the link."""
        for _ in range(2 if self._rng.random() < self._duplicate else 1):
            if self._rng.random() >= self._loss:
                at_ns = now_ns + self._delay_ns + self._rng.randint(0, self._jitter_ns)
                self._sent += 1
                heapq.heappush(self._under_way, (at_ns, self._sent, data))

    def arrived(self, now_ns: int) -> list[bytes]:
        """Datagrams that are there by now, in the order of their arrival."""
        found = []
        while self._under_way and self._under_way[0][0] <= now_ns:
            found.append(heapq.heappop(self._under_way)[2])
        return found

    def next_ns(self) -> int | None:
        """When the next datagram arrives."""
        return self._under_way[0][0] if self._under_way else None
