"""Words of the command line that are parsed by hand: any text."""

from argparse import ArgumentTypeError, Namespace
from contextlib import suppress

from fuzz.common import documented
from ksmtrace.cli.event_options import event_choice
from ksmtrace.cli.options import _budget, _cow_share, _group_count, _mebibytes, positive_seconds
from ksmtrace.cli.simulate import setting
from ksmtrace.serving.listen import parse_listen

_OPTIONS = ("mm", "pid", "kind", "address", "passes")
_TYPES = (_budget, _cow_share, _group_count, _mebibytes, positive_seconds, setting)


def target(data):
    text = data.decode(errors="surrogateescape")
    for option in _OPTIONS:
        given = {f"events_{one}": text.split(",") if one == option else [] for one in _OPTIONS}
        with documented:
            event_choice(Namespace(**given))
    for parse in _TYPES:
        with suppress(ArgumentTypeError):
            parse(text)
    with documented:
        parse_listen(text)


def seeds():
    words = ("0x1f-0x2000", "skipped,cow_fault", "5%", "a=1", "[::1]:9", "64")
    for number, text in enumerate(words):
        yield f"word-{number}", text.encode()
