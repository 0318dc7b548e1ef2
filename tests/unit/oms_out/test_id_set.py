from hypothesis import given
from hypothesis import strategies as st

from oms_out.id_set import IdSet


@given(st.lists(st.integers(-5, 3000)))
def test_id_set_agrees_with_a_set(numbers: list[int]):
    ids, twin = IdSet(ids_max=2000), set()
    for number in numbers:
        is_new = 1 <= number <= 2000 and number not in twin
        assert ids.add(number) == is_new
        if is_new:
            twin.add(number)
    assert ids.count == len(twin)
    assert ids.max_id == max(twin, default=0)
    assert ids.missing_count == max(twin, default=0) - len(twin)
