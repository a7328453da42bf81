"""What a plugin in Python needs beside its answers: describe and configure, and a line in the log for each mistake.

    def rank_paths(menu, settings): ...

    Describe, Configure, RankPaths = plugin("name", "0.1.0", "what it does", [rank_paths], {"metered": flag("...", True)})

A function is the answer to the question of its name. It gets the question and the operator's settings, and returns the
answer, or None to abstain. Which questions there are stands in wit/; what an answer is made of is in
wit_world.exports.QUESTION.
"""

from dataclasses import dataclass
from typing import Any, Callable, Optional

from componentize_py_types import Err
from wit_world.exports import configure as wit_configure, describe as wit_describe
from wit_world.imports import log as wit_log

__all__ = ["Setting", "flag", "integer", "log", "number", "plugin", "problem", "text", "texts"]

# In the order of their numbers where they cross.
_KINDS = ["text", "integer", "number", "flag", "texts"]


@dataclass
class Setting:
    """A setting that the plugin takes: its kind, what it does, its value where the operator says nothing."""

    kind: str
    summary: str
    default: Any = None
    required: bool = False


def text(summary: str, default: Optional[str] = None, required: bool = False) -> Setting:
    """Returns a setting that is a text."""
    return Setting("text", summary, default, required)


def integer(summary: str, default: Optional[int] = None, required: bool = False) -> Setting:
    """Returns a setting that is a whole number."""
    return Setting("integer", summary, default, required)


def number(summary: str, default: Optional[float] = None, required: bool = False) -> Setting:
    """Returns a setting that is a number; a whole one will do."""
    return Setting("number", summary, default, required)


def flag(summary: str, default: Optional[bool] = None, required: bool = False) -> Setting:
    """Returns a setting that is true or false."""
    return Setting("flag", summary, default, required)


def texts(summary: str, default: Optional[list] = None, required: bool = False) -> Setting:
    """Returns a setting that is a list of texts."""
    return Setting("texts", summary, default, required)


def log(message: str, level: str = "info") -> None:
    """Writes a line to the host's log: trace, debug, info, warn or error."""
    wit_log.write(wit_log.Level[level.upper()], message)


def problem(key: Optional[str], what: str) -> Exception:
    """Returns what `check` raises when a setting is wrong; the operator reads it."""
    return Err([wit_configure.SettingProblem(key, what)])


def plugin(
    name: str,
    version: str,
    summary: str,
    answers: list[Callable[[Any, dict], Any]],
    settings: Optional[dict[str, Setting]] = None,
    check: Optional[Callable[[dict], None]] = None,
) -> list[type]:
    """Returns Describe, Configure and a class for each answer, as the component model wants them.

    `check` looks at the settings before they are taken, may change them, and raises a `problem`.
    """
    specs = settings or {}
    taken = {key: spec.default for key, spec in specs.items()}

    class Describe:
        def describe(self):
            return wit_describe.PluginInfo(
                name,
                version,
                summary,
                [answer.__name__.replace("_", "-") for answer in answers],
                [
                    wit_describe.SettingSpec(key, _KINDS.index(spec.kind), spec.required, spec.summary)
                    for key, spec in specs.items()
                ],
            )

    class Configure:
        def configure(self, settings):
            _told("configure", _take, settings, passes=Err)

    def _take(settings):
        taken.update(_given(settings, specs))
        if check is not None:
            check(taken)

    def boxed(answer):
        name = answer.__name__
        return type(name.title().replace("_", ""), (), {name: lambda _, asked: _told(name, answer, asked, taken)})

    return [Describe, Configure, *map(boxed, answers)]


def _given(settings, specs):
    given, problems = {}, []
    for setting in settings:
        key, value = setting.key, setting.value.value
        kind = type(setting.value).__name__.removeprefix("Value_").lower()
        if key not in specs:
            known = f"takes {', '.join(specs)}" if specs else "takes no settings"
            problems.append(wit_configure.SettingProblem(key, f"is unknown: this plugin {known}"))
        elif kind != specs[key].kind and (kind, specs[key].kind) != ("integer", "number"):
            problems.append(wit_configure.SettingProblem(key, f"must be {specs[key].kind}"))
        else:
            given[key] = value
    for key, spec in specs.items():
        if spec.required and all(setting.key != key for setting in settings):
            problems.append(wit_configure.SettingProblem(key, "is required"))
    if problems:
        raise Err(problems)
    return given


def _told(name, call, *arguments, passes=()):
    """Writes a mistake to the log before it ends the call: the interpreter has no standard error to print it to."""
    try:
        return call(*arguments)
    except passes:
        raise
    except Exception as mistake:
        at = mistake.__traceback__
        while at.tb_next is not None:
            at = at.tb_next
        file = at.tb_frame.f_code.co_filename.rpartition("/")[2]
        log(f"{name}: {type(mistake).__name__}: {mistake} ({file}:{at.tb_lineno})", "error")
        raise
