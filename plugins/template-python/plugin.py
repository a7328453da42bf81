"""Cables before wireless links, and those before mobile networks."""

from vpnhost import flag, plugin
from wit_world.exports.rank_paths import PathMenu, PathRanking

LINKS = {1: "ethernet", 2: "wifi", 3: "cellular", 4: "tunnel", 5: "loopback"}
WIREDNESS = {"ethernet": 0, "wifi": 2, "cellular": 3}
SILENT, UNREACHABLE, FAILED = 3, 4, 2


def link(path) -> str:
    return LINKS.get(path.kind, "other")


def rank_paths(menu: PathMenu, settings: dict) -> PathRanking | None:
    """Ranks paths by what their link is made of; equals keep the path in use, then the order of the menu."""
    if len(menu.paths) < 2:
        return None  # Nothing to choose: abstain.

    def has_failed(at: int) -> bool:
        accused = menu.cause in (SILENT, UNREACHABLE) and at == menu.current
        return accused or menu.paths[at].standing == FAILED

    def key(at: int):
        path = menu.paths[at]
        return has_failed(at), WIREDNESS.get(link(path), 1), path.metered, at != menu.current

    usable = [at for at, path in enumerate(menu.paths) if settings["metered"] or not path.metered]
    order = sorted(usable, key=key)
    best = link(menu.paths[order[0]]) if order else "nothing"
    return PathRanking(order, settle_ms=0, review_after_secs=0, why=f"{best} is the most wired")


Describe, Configure, RankPaths = plugin(
    "template",
    "0.1.0",
    "Prefers cables to wireless links, and those to mobile networks",
    [rank_paths],
    {"metered": flag("whether metered paths may be used at all (default true)", True)},
)
