"""Checks of passwords: whose turn it is, what is remembered, and that bcrypt has the last word."""

import asyncio
import threading

import bcrypt

from ksmtrace.serving.passwords import MOST_WAITING, Passwords, Turns, fits

SECRET = b"correct horse"
HASH = bcrypt.hashpw(SECRET, bcrypt.gensalt(4)).decode()


class Bcrypt:
    """Checks as bcrypt does; each waits until it is let go."""

    def __init__(self):
        self.checked = []
        self.go = threading.Semaphore(0)

    def __call__(self, password, hashed):
        self.checked.append(password)
        self.go.acquire()
        return fits(password, hashed)


def test_forty_wrong_ones_delay_a_right_one_of_another_address_by_the_one_under_way():
    async def run():
        check = Bcrypt()
        passwords = Passwords({"prometheus": HASH}, check)
        user = b"prometheus"
        wrong = [asyncio.create_task(passwords.right("a", user, b"%d" % n)) for n in range(40)]
        while not check.checked:
            await asyncio.sleep(0)
        right = asyncio.create_task(passwords.right("b", user, SECRET))
        await asyncio.sleep(0)
        check.go.release(100)
        assert await right is True
        assert check.checked.index(SECRET) == 1
        answers = await asyncio.gather(*wrong)
        # the others are told that there are too many
        assert answers.count(False) == MOST_WAITING
        assert answers.count(None) == 40 - MOST_WAITING

    asyncio.run(run())


def test_of_one_address_the_newest_is_first():
    async def run():
        check = Bcrypt()
        passwords = Passwords({"u": HASH}, check)
        wrong = [asyncio.create_task(passwords.right("a", b"u", b"%d" % n)) for n in range(5)]
        while not check.checked:
            await asyncio.sleep(0)
        right = asyncio.create_task(passwords.right("a", b"u", SECRET))
        await asyncio.sleep(0)
        check.go.release(100)
        assert await right is True
        assert check.checked.index(SECRET) == 1
        await asyncio.gather(*wrong)

    asyncio.run(run())


def test_what_was_checked_is_not_checked_again():
    async def run():
        check = Bcrypt()
        check.go.release(100)
        passwords = Passwords({"u": HASH}, check)
        for _ in range(3):
            assert await passwords.right("a", b"u", SECRET) is True
            assert await passwords.right("a", b"u", b"wrong") is False
            assert await passwords.right("a", b"v", SECRET) is False
        assert len(check.checked) == 3

    asyncio.run(run())


def test_many_who_send_one_password_at_once_wait_for_one_check():
    async def run():
        check = Bcrypt()
        check.go.release(100)
        passwords = Passwords({"u": HASH}, check)
        asked = [passwords.right("a", b"u", SECRET) for _ in range(200)]
        assert await asyncio.gather(*asked) == [True] * 200
        assert check.checked == [SECRET]

    asyncio.run(run())


def test_who_has_gone_is_not_checked():
    async def run():
        check = Bcrypt()
        passwords = Passwords({"u": HASH}, check)
        asked = [asyncio.create_task(passwords.right(o, b"u", o.encode())) for o in "abc"]
        while not check.checked:
            await asyncio.sleep(0)
        asked[1].cancel()
        await asyncio.sleep(0)
        check.go.release(100)
        assert await asked[0] is False
        assert await asked[2] is False
        assert check.checked == [b"a", b"c"]

    asyncio.run(run())


def test_a_user_who_does_not_exist_costs_as_much_as_one_who_does():
    async def run():
        costs = []

        def check(_password, hashed):
            costs.append(hashed[:7])
            return True

        passwords = Passwords({"u": HASH}, check)
        assert await passwords.right("a", b"nobody", SECRET) is False
        assert costs == [HASH[:7]]

    asyncio.run(run())


def test_a_right_password_clears_its_address():
    turns = Turns()
    for owner in ("a", "b"):
        turns.was(owner, right=False)
    turns.was("b", right=True)
    turns.wait("a", 1)
    turns.wait("b", 2)
    assert [turns.next(), turns.next(), turns.next()] == [("b", 2), ("a", 1), None]


def test_passwords_count_by_their_first_72_bytes():
    long = b"a" * 72
    hashed = bcrypt.hashpw(long, bcrypt.gensalt(4)).decode()
    assert fits(long + b"b", hashed)
    assert not fits(long[1:], hashed)
    assert not fits(b"a\0b", HASH)
