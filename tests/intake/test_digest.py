"""SHA-256 with a midstate that survives."""

from __future__ import annotations

import hashlib
import os
import random

import pytest

from securedrop_ftp.intake import digest


def test_this_machine_has_midstates() -> None:
    assert digest.new_digest().save() is not None


@pytest.mark.parametrize("seed", range(10))
def test_a_saved_state_goes_on_to_the_digest_of_the_whole(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(os.urandom(chance.randrange(0, 300_000)))
    at = chance.randrange(0, len(data) + 1)
    first = digest.new_digest()
    first.update(memoryview(data)[:at])
    state = first.save()
    assert state is not None
    assert len(state) == digest.STATE_SIZE
    second = digest.restore_digest(state)
    assert second is not None
    second.update(bytes(data[at:]))
    assert second.hexdigest() == hashlib.sha256(data).hexdigest()


def test_reading_the_digest_does_not_end_it() -> None:
    running = digest.new_digest()
    running.update(b"ab")
    assert running.hexdigest() == hashlib.sha256(b"ab").hexdigest()
    running.update(b"c")
    assert running.hexdigest() == hashlib.sha256(b"abc").hexdigest()


def test_a_library_that_computes_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    library = digest._library()
    assert library is not None
    assert digest._known_answers_hold(library)
    right = library.update
    monkeypatch.setattr(
        library, "update", lambda context, data, size: right(context, data, size - 1)
    )
    assert not digest._known_answers_hold(library)


def test_without_the_library_digests_are_right_and_have_no_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(digest, "_library", lambda: None)
    running = digest.new_digest()
    running.update(memoryview(b"abc"))
    assert running.hexdigest() == hashlib.sha256(b"abc").hexdigest()
    assert running.save() is None
    assert digest.restore_digest(bytes(112)) is None


def test_hashing_releases_the_interpreter_lock() -> None:
    import threading

    data = memoryview(bytearray(64 * 1024 * 1024))
    running = digest.new_digest()
    thread = threading.Thread(target=running.update, args=(data,))
    count = 0
    thread.start()
    while thread.is_alive():
        count += 1
    assert count > 1000  # with the lock held there would be at most a switch or two
