"""Does what a connection's name says, and answers all others well."""

from vpnhost import plugin
from wit_world.exports.rank_paths import PathRanking


def recurse(depth):
    return recurse(depth + 1) + [depth]


def rank_paths(menu, settings):
    if menu.connection == "mistake":
        return {}["nothing"]
    if menu.connection == "loop":
        while True:
            pass
    if menu.connection == "hoard":
        held = []
        while True:
            held.append(bytearray(1 << 20))
    if menu.connection == "recurse":
        recurse(0)
    return PathRanking(list(range(len(menu.paths))), 0, 0, None)


Describe, Configure, RankPaths = plugin("faulty", "0.1.0", "Misbehaves on demand", [rank_paths])
