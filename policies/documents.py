"""Frozen dataclasses as JSON, and back without trusting it: every field present, none unknown, types right.

Fields that came after the first version may be missing: documents from before mean their default.
"""

import types
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from robotics.errors import DataError, UsageError

T = TypeVar("T")

#: Metadata of a field that documents of an earlier version lack.
CAME_LATER = {"came_later": True}


def to_document(config: Any) -> dict[str, Any]:
    """The fields of a dataclass, ready for JSON."""
    return asdict(config)


def from_document(kind: type[T], document: Any, source: Path) -> T:
    """The `kind` that `document`, read from `source`, describes.

    Raises DataError naming `source` and the field that is missing, unknown, of another type or out of range.
    """
    if not isinstance(document, dict):
        raise DataError(f"{source}: holds no JSON object")
    hints = get_type_hints(kind)
    known = fields(kind)  # type: ignore[arg-type]
    names = [field.name for field in known]
    document = {field.name: field.default for field in known if field.metadata == CAME_LATER} | document
    for problem, keys in (("lacks", set(names) - set(document)), ("has unknown", set(document) - set(names))):
        if keys:
            raise DataError(f"{source}: {problem} {', '.join(sorted(keys))}; not written by this version of robotics")
    values = {}
    for name in names:
        try:
            values[name] = _convert(hints[name], document[name])
        except (TypeError, ValueError):
            expected = getattr(hints[name], "__name__", str(hints[name]))
            raise DataError(f"{source}: {name} is {document[name]!r:.80}, expected {expected}") from None
    try:
        return kind(**values)
    except UsageError as error:
        raise DataError(f"{source}: {error}") from None


def _convert(hint: Any, value: Any) -> Any:
    """`value` as `hint` says; ValueError or TypeError when it is something else."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(kind for kind in arguments if kind is not type(None)), value)
    if origin is Literal:
        return arguments[arguments.index(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise TypeError
        return {_convert(arguments[0], key): _convert(arguments[1], item) for key, item in value.items()}
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError
        return tuple(_convert(arguments[0], item) for item in value)
    accepted = (int, float) if hint is float else (hint,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise TypeError
    return hint(value)
