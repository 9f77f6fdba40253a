"""Signals end a run where they may, and nowhere else."""

import os
import signal
import threading

import pytest

from ksmtrace.workload.interruption import Interruption


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_inside_it_raises(number):
    before = signal.getsignal(number)
    with Interruption() as interruption, pytest.raises(KeyboardInterrupt), interruption.allowed():
        send(number)
    assert signal.getsignal(number) == before


def test_outside_it_waits():
    with Interruption() as interruption:
        send(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interruption.allowed():
            raise AssertionError("not reached")


def test_what_is_put_back_is_not_interrupted_again():
    restored = []

    def interrupted():
        try:
            send(signal.SIGTERM)
        finally:
            send(signal.SIGTERM)
            restored.append(True)

    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt), interruption.allowed():
            interrupted()
        assert restored


def test_in_another_thread_it_changes_nothing():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def run():
        with Interruption() as interruption, interruption.allowed():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
