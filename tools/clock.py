"""What time it is somewhere: a dataclass result, and an error that names what was meant."""

import difflib
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field

from agent_server import ToolError, tool

_CITIES: Final = {
    "bangalore": "Asia/Kolkata",
    "beijing": "Asia/Shanghai",
    "boston": "America/New_York",
    "delhi": "Asia/Kolkata",
    "geneva": "Europe/Zurich",
    "kyoto": "Asia/Tokyo",
    "milan": "Europe/Rome",
    "mumbai": "Asia/Kolkata",
    "munich": "Europe/Berlin",
    "osaka": "Asia/Tokyo",
    "rio de janeiro": "America/Sao_Paulo",
    "san francisco": "America/Los_Angeles",
    "seattle": "America/Los_Angeles",
    "washington": "America/New_York",
}
"""Cities that no timezone is named for. All others are found in the timezone database."""


@dataclass(frozen=True)
class LocalTime:
    """The time at a place."""

    place: str
    timezone: str
    time: str
    weekday: str
    utc_offset: str


@tool(effects="none", timeout_s=5)
def current_time(
    place: Annotated[
        str, Field(min_length=1, max_length=60, examples=["Tokyo", "New York", "Europe/Berlin"])
    ] = "UTC",
) -> LocalTime:
    """Tell the current date and time in a city or timezone.

    Args:
        place: A city such as Tokyo, or an IANA timezone such as Europe/Berlin.
    """
    zone = _timezone_of(place)
    now = datetime.now(ZoneInfo(zone))
    return LocalTime(
        place=place,
        timezone=zone,
        time=now.isoformat(timespec="seconds"),
        weekday=now.strftime("%A"),
        utc_offset=now.strftime("%z"),
    )


def _timezone_of(place: str) -> str:
    """Find a timezone by a city's name, its own name, or the last part of it."""
    wanted = " ".join(place.replace("_", " ").lower().split())
    names = {zone.lower().replace("_", " "): zone for zone in available_timezones()}
    cities = {name.rpartition("/")[2]: zone for name, zone in sorted(names.items())}
    known = cities | _CITIES | names
    if wanted in known:
        return known[wanted]
    nearest = difflib.get_close_matches(wanted, known, n=1)
    hint = f"did you mean {nearest[0].title()}?" if nearest else "name a large city or an IANA zone"
    raise ToolError(f"no timezone is known for {place!r}: {hint}")
