"""The exceptions that end a run with a message, and the exit statuses of the command line."""

import errno
import os
from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit status of every verb."""

    DONE = 0
    FLAGGED = 1
    BAD_INPUT = 2
    HOST_CANNOT = 3
    INTERRUPTED = 130


def reason_of(number: int) -> str:
    """An errno in words: "EMFILE: Too many open files".

    EBADMSG stands for a file whose content is not what the file is known to hold.
    """
    if number == errno.EBADMSG:
        return "it holds something else than is known of it"
    return f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"


class KsmtraceError(Exception):
    """A run cannot go on; the message is one line: what, where, and the remedy.

    `ksmtrace.cli.main` prints the line on stderr and returns `status`; nothing else exits.
    """

    def __init__(self, message: str, status: ExitStatus = ExitStatus.BAD_INPUT) -> None:
        super().__init__(message)
        self.status = status


class HostError(KsmtraceError):
    """This host cannot do what was asked (no root, no KSM, no bcc, no BTF)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitStatus.HOST_CANNOT)
