"""`robotics compare`: is one policy better than another, by what `robotics bench` wrote of both."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robotics.errors import UsageError

if TYPE_CHECKING:
    from robotics.evaluation.comparison import Method


@dataclass(frozen=True)
class Options:
    """Is one policy better than another: results of `bench` beside each other, with tests that fit their seeds."""

    results: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="BENCH")]
    """Documents of `robotics bench`, or folders that hold one each; the others are compared to the first.
    NAME=BENCH,BENCH,… are several trainings of one method, judged over them."""
    json: bool = False
    """Print the document, and nothing else, on stdout."""


def run(options: Options) -> None:
    from robotics.evaluation.comparison import compare

    document = compare(_methods(options.results))
    for one in document["comparisons"]:
        if one["differ"]:
            print(f"warning: {one['first']} and {one['second']} differ in {', '.join(one['differ'])}", file=sys.stderr)
    print(json.dumps(document, indent=2, allow_nan=False) if options.json else describe(document))


def describe(document: dict[str, Any]) -> str:
    """The document as a few lines for people."""
    width = max(len(one["label"]) for one in document["results"])
    lines = [document["env"]]
    for one in document["results"]:
        lines.append(f"  {one['label']:<{width}}  {_rate(one)}return {one['return_mean']:.2f}")
    for one in document["comparisons"]:
        lines += ["", f"{one['second']} against {one['first']}, {_pairing(one)}", *_numbers(one), f"  {one['verdict']}"]
    if all(len(one["files"]) == 1 for one in document["results"]):
        lines += ["", "of these policies as they are: how a method does takes several trainings (NAME=BENCH,BENCH,…)"]
    return "\n".join(lines)


def _rate(one: dict[str, Any]) -> str:
    if one["success_rate"] is None:
        return ""
    low, high = one["success_ci95"]
    trainings = f" of {len(one['files'])} trainings" if len(one["files"]) > 1 else ""
    return f"{one['success_rate']:6.1%} [{low:.1%}, {high:.1%}] of {one['n']} episodes{trainings}, "


def _pairing(one: dict[str, Any]) -> str:
    if max(one["trainings"]) > 1:
        return "over {} and {} trainings".format(*one["trainings"])
    if not one["paired"]:
        return "{} and {} episodes of different seeds".format(*one["n"])
    left = sum(one["left_out"])
    return f"{one['n'][0]} shared seeds" + (f" ({left} episodes on other seeds left out)" if left else "")


def _numbers(one: dict[str, Any]) -> list[str]:
    lines = []
    if one["difference"] is not None:
        low, high = one["difference_ci95"]
        only = ""
        if one["first_only"] is not None:
            only = f"; {one['second_only']} seeds only the former does, {one['first_only']} only the latter"
        lines.append(f"  success {100 * one['difference']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]{only}")
    if one["p"] is not None:
        adjusted = f", {one['p_holm']:.2g} among all (Holm)" if one["p_holm"] != one["p"] else ""
        looked = f"; {one['anytime_p']:.2g} however often one looked" if one["anytime_p"] is not None else ""
        lines.append(f"  {one['test']}: p = {one['p']:.2g}{adjusted}{looked}")
    bounds = one["return_difference_ci95"]
    sure = f" [{bounds[0]:+.2f}, {bounds[1]:+.2f}]" if bounds else ""
    return [*lines, f"  return {one['return_difference']:+.2f}{sure}"]


def _methods(given: Sequence[str]) -> list["Method"]:
    """What to compare, with labels of which no two are equal; UsageError for a document that comes twice."""
    from robotics.evaluation.bench_document import read_bench
    from robotics.evaluation.comparison import Method

    files = [_files(one) for one in given]
    for file, count in Counter(file.resolve() for _, paths in files for file in paths).items():
        if count > 1:
            raise UsageError(f"{file} comes {count} times: give each result once")
    methods = []
    for name, paths in files:
        benches = [replace(read_bench(path), file=str(path)) for path in paths]
        methods.append(Method(name or benches[0].label, tuple(benches)))
    labels = Counter(method.label for method in methods)
    return [
        method if labels[method.label] == 1 else replace(method, label=f"{method.label} ({method.benches[0].file})")
        for method in methods
    ]


def _files(given: str) -> tuple[str, list[Path]]:
    """The name that was given ('' for none) and the documents."""
    name, equals, files = given.partition("=")
    if not equals or Path(given).exists():
        return "", [_document(Path(given))]
    paths = [_document(Path(file)) for file in files.split(",") if file]
    if not (name and paths):
        raise UsageError(f"{given}: expected NAME=BENCH,BENCH,…")
    return name, paths


def _document(path: Path) -> Path:
    """The file itself, or the one document of a folder."""
    if not path.is_dir():
        return path
    found = sorted(path.glob("bench*.json"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise UsageError(f"{path} holds {len(found)} documents of bench ({names}): name one")
    return found[0]
