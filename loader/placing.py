"""Where a new piece of a battery belongs among those that are there, by their spans of time."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from loader.battery import Battery, LoaderError, Span


class Piece(NamedTuple):
    """A piece of a battery in staging; without a span the file is the whole battery."""

    name: str
    span: Span | None
    fingerprint: str
    content: str
    is_just_loaded: bool  # by the load that is going on


# Tells whether most samples of the first stand in the second too.
Same = Callable[[Piece, Battery], bool]


def is_then(old: Piece, new: Battery) -> bool:
    """Tell whether two were recorded at the same time: one day of rest is like another."""
    if not old.span or not new.span:
        return True
    return old.span.covers(new.span) and new.span.covers(old.span)


def holds(old: Piece, new: Battery, is_same: Same) -> bool:
    """Tell whether a new piece is only a part of one that is there: there is nothing to add."""
    if not old.span or not new.span or old.span.is_dated != new.span.is_dated:
        return False
    is_part = old.span.covers(new.span) and not new.span.covers(old.span)
    return is_part and is_same(old, new)


def replaced(
    new: Sequence[tuple[str, Battery]],
    there: Sequence[Piece],
    replace: Sequence[str],
    is_same: Same,
) -> list[Piece]:
    """Return the pieces that those of one load, each with its name, take the place of.

    A file that is the whole battery takes the place of all; a piece of those that lie within its
    span, with what else was loaded with it; and of those that the user names to `replace`. Raises
    LoaderError, with the way out, where it is not clear which of two holds.
    """
    gone = []
    for old in there:
        if old.name in replace:
            gone.append(old)
            continue
        touching = [(name, it) for name, it in new if _touches(it, old)]
        if not touching:
            continue
        names = " and ".join(name for name, _ in touching)
        if old.is_just_loaded:
            battery_id = touching[0][1].battery_id
            raise LoaderError(
                f"{battery_id} has just been loaded from {old.name}, which differs: "
                "load one of the two"
            )
        _refuse_doubt(names, [it for _, it in touching], old, is_same)
        gone.append(old)
    return gone


def _touches(new: Battery, old: Piece) -> bool:
    if new.span is None or old.span is None or new.span.is_dated != old.span.is_dated:
        return True
    return new.span.overlaps(old.span)


def _refuse_doubt(names: str, new: Sequence[Battery], old: Piece, is_same: Same) -> None:
    battery_id = new[0].battery_id
    way_out = f"to have it instead, say --replace '{old.name}'"
    spans = [it.span for it in new if it.span]
    if not spans:
        return
    if old.span is None:
        raise LoaderError(
            f"{battery_id} is loaded whole from {old.name}, to which {names} cannot be added: "
            f"{way_out}"
        )
    if spans[0].is_dated != old.span.is_dated:
        dated, undated = (names, old.name) if spans[0].is_dated else (old.name, names)
        raise LoaderError(
            f"{dated} has dates and {undated} has none, so that their order is not known: name the "
            f"column with --column clock=NAME, or {way_out}"
        )
    whole = spans[0]._replace(
        begins_s=min(it.begins_s for it in spans), ends_s=max(it.ends_s for it in spans)
    )
    if not whole.covers(old.span):
        raise LoaderError(
            f"{names} ({_told(whole)}) and {old.name} ({_told(old.span)}) of {battery_id} "
            f"overlap in part: {way_out}"
        )
    if not old.span.is_dated and not any(is_same(old, it) for it in new):
        raise LoaderError(
            f"{names} and {old.name} of {battery_id} begin at the same time, have no dates and "
            f"differ: where one goes on after the other, load both at once with --battery-id "
            f"{battery_id}; {way_out}"
        )


def _told(span: Span) -> str:
    """Say when a piece was recorded."""
    if not span.is_dated:
        return f"{span.begins_s:,.0f} to {span.ends_s:,.0f} s of the test"
    begin, end = (
        datetime.fromtimestamp(it, UTC).strftime("%Y-%m-%d %H:%M:%S")
        for it in (span.begins_s, span.ends_s)
    )
    return f"{begin} to {end}"
