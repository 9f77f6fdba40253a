"""The map of addresses against a dict."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ksmtrace.model.addresses import AddressMap

# A few pages of a few structs each, so that rows are given back and taken again; some addresses are
# no multiple of 64.
ADDRESSES = st.builds(
    lambda page, slot, odd: 0xFFFF888000000000 + page * 4096 + slot * 64 + odd,
    st.integers(0, 40),
    st.sampled_from((0, 1, 63)),
    st.sampled_from((0, 0, 0, 8)),
)


class AgainstADict(RuleBasedStateMachine):
    """Every address in the map has its number, and none else has one."""

    def __init__(self):
        super().__init__()
        self.map = AddressMap()
        self.truth = {}

    @rule(addresses=st.lists(ADDRESSES, max_size=20))
    def add(self, addresses):
        for address in addresses:
            if address not in self.truth:
                self.truth[address] = len(self.truth)
                self.map.add(address, self.truth[address])

    @rule(data=st.data())
    def remove(self, data):
        if self.truth:
            address = data.draw(st.sampled_from(sorted(self.truth)))
            del self.truth[address]
            self.map.remove(address)

    @rule(addresses=st.lists(ADDRESSES, max_size=50))
    def look_up(self, addresses):
        found = self.map.look_up(np.array(addresses, dtype=np.uint64)).tolist()
        assert found == [self.truth.get(address, -1) for address in addresses]

    @invariant()
    def same(self):
        assert len(self.map) == len(self.truth)
        for address, number in self.truth.items():
            assert self.map.get(address) == number


TestAgainstADict = AgainstADict.TestCase
