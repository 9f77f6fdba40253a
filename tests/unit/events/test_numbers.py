"""The kinds as plain numbers."""

from ksmtrace.events import EventKind, numbers


def test_every_kind_has_its_number():
    found = {name: value for name, value in vars(numbers).items() if name.isupper()}
    assert found == {kind.name: kind.value for kind in EventKind}
    assert {type(value) for value in found.values()} == {int}
