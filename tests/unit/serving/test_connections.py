"""Which connections are held: limits in all and of one owner, and who goes for whom."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.serving.connections import Connections, owner_of

MOST, MOST_EACH = 8, 4


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=80))
def test_limits_hold_and_the_oldest_goes(steps):
    """Against a list of all that are open, in the order in which they came."""
    held, model = Connections(MOST, MOST_EACH), []
    for number, (owner, leaves) in enumerate(steps):
        if leaves and model:
            gone = model.pop(number % len(model))
            held.leave(*gone)
        before = Counter(one for one, _ in model)
        gone = held.admit(owner, number)
        if before[owner] == MOST_EACH:
            expected = next(entry for entry in model if entry[0] == owner)
        elif len(model) == MOST:
            most = max(before.values())
            expected = next(e for e in model if e[1] == gone)
            assert before[expected[0]] == most
            assert expected == next(e for e in model if e[0] == expected[0])
        else:
            expected = None
        assert gone == (expected[1] if expected else None)
        if expected:
            model.remove(expected)
        model.append((owner, number))
        assert len(held) == len(model) <= MOST
        assert max(Counter(one for one, _ in model).values()) <= MOST_EACH


def test_one_who_is_closed_for_another_may_leave_again():
    held = Connections(2, 1)
    assert held.admit("a", 1) is None
    assert held.admit("a", 2) == 1
    held.leave("a", 1)
    assert len(held) == 1


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_an_owner_is_an_address_or_a_network(address, owner):
    assert owner_of(address) == owner
