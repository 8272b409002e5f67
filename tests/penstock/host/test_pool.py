"""Who goes when there are too many processes: the rule alone. With real ones it is tested in test_scale_to_zero."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from penstock.host.pool import Room, due


@dataclass(frozen=True)
class Process:
    """A member that rests nowhere."""

    number: int
    idle: bool
    used: float
    size: int

    def memory(self) -> int:
        return self.size

    def rest(self) -> None:
        raise AssertionError("the rule ends nothing")


@st.composite
def processes(draw: st.DrawFn) -> list[Process]:
    """Up to eight, last used at different times."""
    count = draw(st.integers(0, 8))
    times = draw(st.permutations(range(count)))
    return [
        Process(number, draw(st.booleans()), times[number], draw(st.integers(0, 100)))
        for number in range(count)
    ]


rooms = st.builds(Room, st.integers(1, 8), st.integers(1, 400))


@given(processes(), rooms, st.integers(0, 2))
def test_what_goes(members: list[Process], room: Room, more: int) -> None:
    """Only idle ones, the longest unused first, no more than needed, and enough where there are enough."""
    going = room.surplus(members, more)
    staying = [member for member in members if member not in going]
    assert all(member.idle for member in going)
    idle = [member for member in staying if member.idle]
    assert all(gone.used < stays.used for gone in going for stays in idle)
    assert room.fits(staying, more) or not idle
    if going:
        assert not room.fits([*staying, going[-1]], more)


@given(processes(), rooms)
def test_what_fits(members: list[Process], room: Room) -> None:
    """Within both bounds, and never less than one."""
    fits = room.fits(members, 1)
    within = len(members) < room.processes and sum(member.size for member in members) <= room.bytes
    assert fits == (within or not members)


@given(processes(), st.integers(0, 8))
def test_what_was_not_asked_for_long(members: list[Process], before: int) -> None:
    """Of those that are idle, in the order in which they were asked."""
    found = due(members, before)
    assert set(found) == {member for member in members if member.idle and member.used < before}
    assert found == sorted(found, key=lambda member: member.used)
