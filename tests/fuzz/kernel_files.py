"""Files of /proc and /sys: any content of one of them, all others as a kernel has them."""

from fuzz.common import folder
from ksmtrace.kernel.files import UNREAD
from support.odd_files import USUAL, read_everything, write

_PATHS = sorted(USUAL)


def target(data):
    """The first byte chooses the file."""
    if not data:
        return
    name, content = _PATHS[data[0] % len(_PATHS)], data[1:]
    path = folder() / name
    if not path.exists():
        write(folder(), USUAL)
    path.write_bytes(content)
    UNREAD.clear()
    try:
        told = read_everything(folder())
    finally:
        path.write_bytes(USUAL[name])
    for value in told["counters"].values.values():
        assert -(1 << 63) <= value < 1 << 63


def seeds():
    for number, name in enumerate(_PATHS):
        yield name.replace("/", "-"), bytes([number]) + USUAL[name]
