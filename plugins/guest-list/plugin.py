"""Lets guests in, whom a table of the operator's names, so many times a day; about others it says nothing.

A line of the table is `peer,group` or `peer,group:until`, the last day of the visit as 2026-12-31. The group becomes a
label of the peer. How often a guest came today is in the plugin's store, so that a restart gives nobody more.
"""

import hashlib
from dataclasses import dataclass
from datetime import date

from vpnhost import integer, plugin, problem, text
from wit_world.exports.authorize_peer import Authorization, Authorization_Allow, Authorization_Refuse, PeerClaim
from wit_world.imports import data, kv, metrics
from wit_world.imports.types import Attribute

DAY_SECS = 86_400
EPOCH = date(1970, 1, 1).toordinal()


@dataclass
class Guest:
    group: str
    until: str  # As 2026-12-31; empty for ever.

    @classmethod
    def parse(cls, line: str) -> "Guest":
        group, _, until = line.partition(":")
        return cls(group.strip(), until.strip())


def day_of(unix_secs: int) -> str:
    """Returns a day as 2026-12-31; what day it is stands in the question, there is no clock inside."""
    return date.fromordinal(EPOCH + unix_secs // DAY_SECS).isoformat()


def visits_before(key: str, today: str) -> int:
    """Returns how often a guest came today already."""
    stored = kv.get(key)
    if stored is None:
        return 0
    day, _, count = stored.decode().partition(" ")
    return int(count) if day == today else 0


def authorize_peer(claim: PeerClaim, settings: dict) -> Authorization | None:
    peer = claim.peer_id.text
    line = data.get(settings["table"], peer)
    if line is None:
        return None  # No guest: the next policy knows better.
    guest = Guest.parse(line)
    today = day_of(claim.unix_secs + claim.utc_offset_secs)
    if guest.until and today > guest.until:
        metrics.count("refused", 1)
        return Authorization_Refuse(f"the visit ended on {guest.until}")
    # A name may be longer than a key.
    key = hashlib.sha256(peer.encode()).hexdigest()
    visits = visits_before(key, today) + 1
    if visits > settings["visits"]:
        metrics.count("refused", 1)
        return Authorization_Refuse(f"came in {settings['visits']} times today already")
    kv.set(key, f"{today} {visits}".encode())
    metrics.count("admitted", 1)
    return Authorization_Allow([Attribute("group", guest.group)])


def check(settings: dict) -> None:
    if not 1 <= settings["visits"] <= 1000:
        raise problem("visits", "must be 1 to 1000")


Describe, Configure, AuthorizePeer = plugin(
    "guest-list",
    "0.1.0",
    "Lets in the guests of a table, so many times a day",
    [authorize_peer],
    {
        "table": text("the table of guests in data (default guests)", "guests"),
        "visits": integer("how often a guest may come in on one day (default 3)", 3),
    },
    check,
)
