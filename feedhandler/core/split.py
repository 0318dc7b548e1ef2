"""One feed for several shards: which instruments belong to a shard, and what it does with a message
of another one's.

    blocks ──► where each begins ──► `normalise_own` of the venue: ticks of those of this shard

Every shard frames the whole feed and sequences all of it; a message about an instrument of another
shard costs it the look at that number and nothing else.

Instrument i belongs to shard i % shards. A venue numbers its instruments anew each day, usually by
the alphabet, so this deals them out like cards: each shard has as many as the others, to within
one. It does not weigh them: the busiest instrument bounds what shards can do for one feed, and the
counts by shard in the report of a replay show how well the day was dealt. Numbers of instruments
have no state in common but the order references, which a venue does not use twice in a day; so a
message that names an order of another instrument than its own is one of an unknown order.

Functions that look at several instruments make a shard take those of others as well (`roles`).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.lines import zeros
from feedhandler.core.roles import Roles, allocate_roles
from protocols.by_reference import by_reference
from protocols.jit import kernel

NUMBERS = 65_536
"""Length of the table of owners: an instrument is looked up by the low 16 bits of its number."""


@by_reference
class Split(NamedTuple):
    """What a shard of several needs: `owned` u8[NUMBERS], 1 for its own instruments, and `roles`,
    by which it takes others. Scratch for a chunk of messages: `blocks` i64[m + 1], where each
    begins, `offsets` i64[m], which of them this shard takes (one that has the feed for itself 0 to
    m - 1).
    """

    owned: NDArray[np.uint8]
    roles: Roles
    blocks: NDArray[np.int64]
    offsets: NDArray[np.int64]


def allocate_split(shard: int, shards: int, chunk: int, legs: int = 0) -> Split:
    """Tables of one of `shards`, for chunks of so many messages and functions with so many legs. It
    takes what it owns, until `watch_legs`.
    """
    offsets = zeros(chunk)
    offsets[:] = np.arange(chunk)
    owned = zeros(NUMBERS if shards > 1 else 1, np.uint8)
    owned[:] = owns(np.arange(len(owned)), shard, shards)
    return Split(owned, allocate_roles(owned, legs if shards > 1 else 0), zeros(chunk + 1), offsets)


def owns(instruments: NDArray[Any], shard: int, shards: int) -> NDArray[np.bool_]:
    """Whether each of the instruments belongs to the shard."""
    return (instruments & (NUMBERS - 1)) % shards == shard


@kernel
def find_blocks_nb(buf: NDArray[np.uint8], at: int, count: int, blocks: NDArray[np.int64]) -> int:
    """Where `count` whole blocks (a 2-byte length and a message) from buf[at] on begin goes to
    blocks[0 .. count - 1]; returns where the next one would.
    """
    for i in range(count):
        blocks[i] = at
        at += 2 + (np.int64(buf[at]) << 8 | np.int64(buf[at + 1]))
    return at
