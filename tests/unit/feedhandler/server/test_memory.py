"""Memory is taken at start or refused with the sizes named."""

import pytest

from feedhandler.core.shard import SPARE_SIZE
from feedhandler.server.errors import ExitCode, OsLimitError
from feedhandler.server.memory import blocks, blocks_once, reserve_memory
from tests.unit.feedhandler.core.support import make_shard


def test_every_block_of_a_shard_is_named_once_nested_ones_too():
    names = [name for name, _array in blocks(make_shard())]
    assert len(set(names)) == len(names)
    assert {"ticks", "snapshot", "window.payload", "signals.cells"} <= set(names)
    assert any(name.startswith("book.") for name in names)


def test_what_fits_is_reserved_and_left_as_it_was():
    shard = make_shard()
    shard.snapshot[:] = 7
    needed = reserve_memory([shard])
    assert needed == sum(array.nbytes for _name, array in blocks(shard))
    assert (shard.snapshot == 7).all()
    assert int(shard.free.cursors[0]) + shard.stash_size[SPARE_SIZE] == len(shard.ticks) - 1


def test_what_does_not_fit_is_refused_with_the_largest_blocks():
    shard = make_shard()
    needed = reserve_memory([shard])
    with pytest.raises(OsLimitError, match=r"^engine: \d+ MiB are needed and") as caught:
        reserve_memory([shard], needed - 1)
    largest = max(blocks(shard), key=lambda block: block[1].nbytes)[0]
    assert f"the largest blocks are {largest} " in str(caught.value)
    assert caught.value.exit_code == ExitCode.OS_LIMIT
    assert reserve_memory([shard], needed) == needed


def test_what_several_share_is_counted_once():
    first, second = make_shard(), make_shard()
    second = second._replace(snapshot=first.snapshot)
    found = [(place, name) for place, name, _array in blocks_once([first, second])]
    assert (0, "snapshot") in found
    assert (1, "snapshot") not in found
    assert len(found) == 2 * len(list(blocks(first))) - 1
    sizes = [array.nbytes for shard in (first, second) for _name, array in blocks(shard)]
    assert reserve_memory([first, second]) == sum(sizes) - first.snapshot.nbytes
