"""Large pictures are decoded one after another, usual ones side by side, and none is passed over."""

import threading

import pytest

from serving.room import PixelRoom


class Guest(threading.Thread):
    """Asks for room, says when it is let in, and leaves when it is told to."""

    def __init__(self, room: PixelRoom, pixels: int) -> None:
        super().__init__(daemon=True)
        self.room, self.pixels = room, pixels
        self.inside, self.leave = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with self.room.hold(self.pixels):
            self.inside.set()
            self.leave.wait(10)

    def enters(self) -> bool:
        return self.inside.wait(10)

    def waits(self) -> bool:
        return not self.inside.wait(0.1)


def test_pictures_that_fit_are_held_together_and_the_next_waits():
    room = PixelRoom(100)
    first, second = Guest(room, 60), Guest(room, 40)
    assert first.enters()
    assert second.enters()
    third = Guest(room, 1)
    assert third.waits()
    first.leave.set()
    assert third.enters()
    second.leave.set()
    third.leave.set()


def test_a_large_one_is_not_passed_over_by_small_ones_that_come_later():
    room = PixelRoom(100)
    small = Guest(room, 10)
    assert small.enters()
    large = Guest(room, 100)
    assert large.waits()
    later = Guest(room, 10)
    assert later.waits()
    small.leave.set()
    assert large.enters()
    assert later.waits()
    large.leave.set()
    assert later.enters()
    later.leave.set()


def test_one_larger_than_the_room_is_let_in_alone():
    room = PixelRoom(100)
    giant = Guest(room, 1000)
    assert giant.enters()
    beside = Guest(room, 1)
    assert beside.waits()
    giant.leave.set()
    assert beside.enters()
    beside.leave.set()


def test_a_picture_that_fails_gives_its_room_back():
    room = PixelRoom(100)
    with pytest.raises(ValueError, match="damaged"), room.hold(100):
        raise ValueError("damaged")
    next_one = Guest(room, 100)
    assert next_one.enters()
    next_one.leave.set()
