"""Counters, configuration and pages of a server with several feeds."""

from pathlib import Path

import pytest
from msgspec import ValidationError, convert, structs

from feedhandler.core.counters import CounterFile
from feedhandler.core.counts import COUNT_ROWS, Count
from feedhandler.server.config import FeedConfig, LineConfig, ServerConfig
from feedhandler.server.tables import counter_specs, feed_first_row, feed_tables, histogram_specs
from oms_out.config import OmsConfig

NAMES = ["mold", "soup", "fix"]


@pytest.fixture
def file(tmp_path: Path) -> CounterFile:
    specs = counter_specs(NAMES[0], ["band"], ["imbalance"], NAMES[1:])
    return CounterFile.create(tmp_path / "counters", specs, histogram_specs(NAMES), parts=2)


def test_each_feed_has_rows_of_its_own_with_its_name(file: CounterFile):
    for feed, name in enumerate(NAMES):
        for part in file.parts:
            counts, histograms = feed_tables(part, feed)
            counts[Count.APPLIED, 0] = 10 * (feed + 1)
            histograms[0, 0] = 1
        assert file.value("messages_applied", channel=name) == 20 * (feed + 1)
        first = feed_first_row(feed)
        assert file.totals()[first : first + COUNT_ROWS][Count.APPLIED] == 20 * (feed + 1)
        assert dict(file.counter_specs[first + Count.ORDERS_LIVE].labels) == {"channel": name}


def test_what_is_asked_without_a_feed_is_that_of_all_together(file: CounterFile):
    for feed, value in enumerate((5, 0, 7)):
        counts, _ = feed_tables(file.parts[0], feed)
        counts[Count.ORDERS_LIVE, 0] = value
        counts[Count.BOOKS_SUSPECT, 0] = int(feed == 2)
        counts[Count.NEXT_SEQ, 0] = value
    assert file.value("orders_live") == 12
    assert file.value("books_suspect") == 1
    assert file.value("next_sequence") == 5
    with pytest.raises(KeyError, match="nothing"):
        file.value("nothing")
    with pytest.raises(KeyError, match="orders_live"):
        file.value("orders_live", channel="none")


def test_a_server_with_one_feed_has_the_labels_that_it_had():
    specs = counter_specs("itch", ["band"], ["imbalance"])
    assert specs[Count.ORDERS_LIVE].labels == ()
    assert histogram_specs(["itch"]) == histogram_specs()


def test_two_feeds_may_not_share_a_name():
    feed = FeedConfig(line_a=LineConfig(port=1), name="a")
    other = structs.replace(feed, name="b")
    oms = OmsConfig(store_dir="x", allowed=("OMS1",))
    ServerConfig(feed=feed, oms=oms, feeds=(other,))
    with pytest.raises(ValueError, match="feeds: 2 of them are named 'a'; rename one"):
        ServerConfig(feed=feed, oms=oms, feeds=(feed,))
    many = [structs.asdict(structs.replace(feed, name=str(i))) for i in range(8)]
    with pytest.raises(ValidationError, match="length <= 7"):
        convert(
            {"feed": structs.asdict(feed), "oms": structs.asdict(oms), "feeds": many}, ServerConfig
        )
