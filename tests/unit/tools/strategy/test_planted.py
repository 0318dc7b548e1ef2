"""What a truth log says was planted, and what follows from it for a function of several legs."""

from tests.unit.tools.strategy.truth import (
    ARBITRAGE,
    CRASH,
    HALT,
    JUMP,
    LEAD_LAG,
    LISTING,
    MS,
    SWEEP,
    A,
    B,
    C,
    D,
    S,
    truth,
)
from tools.strategy.planted import natural_legs, natural_params, read_planted


def test_what_has_parted_from_its_relation_is_to_be_traded_back():
    (found,) = read_planted(truth(ARBITRAGE), is_whole=False)
    assert (found.instruments, found.side, found.is_relation) == ((A, B), -1, True)
    assert (found.begin_ns, found.end_ns, found.until_ns) == (100 * S, 120 * S, 120 * S)


def test_each_move_of_a_leader_is_one_thing_until_the_follower_has_followed():
    first, second = read_planted(truth(LEAD_LAG), is_whole=False)
    assert (first.instruments, first.side) == ((D, C), -1)
    assert (first.begin_ns, first.until_ns) == (210 * S, 210 * S + 400 * MS)
    assert (second.side, second.until_ns) == (1, 300 * S)


def test_a_sweep_has_its_first_message():
    (found,) = read_planted(truth(SWEEP), is_whole=False)
    assert (found.instruments, found.side, found.seq) == ((C,), 1, 77)
    assert found.until_ns == 400 * S + 10 * MS


def test_what_happens_to_a_sector_is_one_thing_for_each_symbol_or_one_for_all():
    each = read_planted(truth(JUMP), is_whole=False)
    assert [found.instruments for found in each] == [(A,), (B,)]
    (whole,) = read_planted(truth(JUMP), is_whole=True)
    assert (whole.instruments, whole.side) == ((A, B), 0)
    (crash,) = read_planted(truth(CRASH), is_whole=True)
    assert crash.instruments == (A, B, C, D)


def test_what_nobody_is_to_find_is_not_planted():
    assert read_planted(truth(LISTING, HALT), is_whole=False) == []


def test_planted_things_are_in_the_order_of_time():
    found = read_planted(truth(CRASH, SWEEP, ARBITRAGE), is_whole=True)
    assert [each.kind for each in found] == ["arbitrage", "sweep", "drift"]


def test_what_was_planted_together_can_be_looked_at_together():
    known = truth(LEAD_LAG)
    assert natural_legs(known, 2) == [("AAA", "BBB"), ("DDD", "CCC")]
    assert natural_legs(known, 3) == [("AAA", "BBB", "CCC")]
    assert len(natural_legs(known, 0)) == 4


def test_scale_and_weights_follow_from_a_relation():
    known = truth()
    # 50 = 40 * 25 * scale
    assert natural_params(known, ["AAA", "BBB", "CCC"], ["scale_e9", "x"]) == {
        "scale_e9": 50_000_000
    }
    # 30 * unit = 3 * 10 + 2 * 20 + 1 * 20
    names = ["unit_shares", "weight_1", "weight_2", "weight_3", "weight_4"]
    values = natural_params(known, ["AAA", "BBB", "CCC", "DDD"], names)
    assert values == {
        "unit_shares": 30_000,
        "weight_1": 30_000,
        "weight_2": 20_000,
        "weight_3": 10_000,
    }
    assert natural_params(known, ["AAA", "DDD"], names) == {}
