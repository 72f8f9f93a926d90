"""The one exception base of the project, and the did-you-mean that every unknown name gets."""

from collections.abc import Iterable
from difflib import get_close_matches


class RoboticsError(Exception):
    """Something the user can mend. The command line prints it as one `error:` line and exits with `exit_code`."""

    exit_code = 1


class UsageError(RoboticsError):
    """What was asked for does not exist or contradicts itself."""

    exit_code = 2


class DataError(RoboticsError):
    """A file, folder or document is missing, damaged or of another kind. The message names it."""


def unknown_name(kind: str, name: object, choices: Iterable[str], cure: str = "") -> UsageError:
    """The error for a name that does not exist: says what exists, and what was probably meant."""
    name, choices = str(name), sorted(choices)
    bare = {choice.lstrip("-"): choice for choice in choices}  # what all options begin with makes none more alike
    close = [bare[one] for one in get_close_matches(name.lstrip("-"), bare, n=1, cutoff=0.5)]
    if not close and name:
        # `TransferCube` for `robotics/TransferCube-v0`: difflib alone finds prefixes and cases too far apart
        close = [c for c in choices if name.lower() in c.lower()][:1]
    parts = [f"unknown {kind} '{name}'"]
    if close:
        parts.append(f"did you mean '{close[0]}'?")
    parts.append(f"available: {', '.join(choices) if choices else 'none'}")
    if cure:
        parts.append(cure)
    return UsageError("; ".join(parts))
