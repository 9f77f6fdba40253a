"""ksmd's CPU time by readings: what counts, and what does not."""

from ksmtrace.events import Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.model.ksmd_time import KsmdTime


def reading(ns, cpu_ns=None):
    values = {} if cpu_ns is None else {Gauge.KSMD_CPU_NS: cpu_ns}
    return Reading(values, ns, at_scan_stop=False)


def test_time_is_counted_from_the_first_reading_to_the_last():
    ksmd = KsmdTime()
    spent = [ksmd.read(reading(ns, cpu)) for ns, cpu in ((10, 500), (30, 505), (50, 505))]
    assert spent == [0, 5, 0]
    assert (ksmd.cpu_ns, ksmd.wall_ns, ksmd.cores) == (5, 40, 5 / 40)


def test_without_two_readings_there_is_no_share_of_a_core():
    ksmd = KsmdTime()
    assert ksmd.read(reading(10)) is None
    assert ksmd.read(reading(20, 7)) == 0
    assert ksmd.cores is None


def test_an_interval_in_which_a_clock_went_back_is_left_out():
    ksmd = KsmdTime()
    spent = [ksmd.read(reading(ns, cpu)) for ns, cpu in ((10, 9), (20, 4), (15, 6), (25, 8))]
    assert spent == [0, 0, 0, 2]
    assert (ksmd.cpu_ns, ksmd.wall_ns) == (2, 10)
