"""Which ids of a dense range were seen: one bit each, so a million ids take 125 kB."""

IDS_MAX = 1 << 27


class IdSet:
    """Ids from 1 to `ids_max`; `count` distinct ones so far, `max_id` the highest."""

    def __init__(self, ids_max: int = IDS_MAX) -> None:
        """Nothing seen."""
        self.ids_max = ids_max
        self.count = 0
        self.max_id = 0
        self._bits = bytearray(64)

    def add(self, number: int) -> bool:
        """Note an id; False when it was seen before or is not in 1..`ids_max`."""
        if not 1 <= number <= self.ids_max:
            return False
        byte, mask = number >> 3, 1 << (number & 7)
        if byte >= len(self._bits):
            self._bits.extend(bytes(max(byte + 1, 2 * len(self._bits)) - len(self._bits)))
        if self._bits[byte] & mask:
            return False
        self._bits[byte] |= mask
        self.count += 1
        self.max_id = max(self.max_id, number)
        return True

    @property
    def missing_count(self) -> int:
        """Ids between 1 and the highest that were not seen."""
        return self.max_id - self.count
