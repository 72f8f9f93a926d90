"""The program `robotics`: finds the command, parses its options with tyro, turns our errors into one `error:` line.

A command is a module of this package with either `Options` (a frozen dataclass) and `run(options)`, or `SUBCOMMANDS`,
a table of such pairs by name. Nothing but the chosen command is imported, which keeps `robotics --help` instant.
"""

import contextlib
import errno
import importlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from robotics.errors import RoboticsError, UsageError, unknown_name

#: Command -> what it does, in the order in which a newcomer needs them.
COMMANDS = {
    "demo": "the whole story in one go: collect -> train -> bench -> hidden twin -> record -> report",
    "list": "what exists: envs, policies, controllers, robots, factors",
    "collect": "expert demonstrations as a LeRobotDataset v3.0",
    "data": "check, repair or describe a dataset",
    "train": "train a policy on a dataset, or by reward",
    "bench": "success rate of a policy on seeded episodes, with its interval",
    "compare": "is one policy better than another, by what bench wrote of both",
    "record": "one episode as an H.264 video that plays in a browser",
    "export": "a trained policy as one file for other runtimes: ONNX or TorchScript",
    "control": "a controller alone, with its timing table",
    "gap": "what a policy loses on a target, what of, and how sure that is",
    "twin": "hidden twins: targets whose factors are sealed",
    "agree": "does success in simulation predict success on the target, over a table of policies",
    "card": "what changes of object, scene, camera and words cost a policy",
    "sysid": "a robot's parameters from logs of its motions; excite: motions that show them",
    "real2sim2real": "make that loss smaller: log -> identify -> train anew -> measure, one page",
    "report": "one self-contained HTML page of a run",
}

Runner = Callable[[Any], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 ok, 1 failed, 2 usage, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # where the locale has no ×, as stderr does
    try:
        dispatch(arguments)
    except RoboticsError as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)  # MuJoCo's have several lines
        return error.exit_code
    except KeyboardInterrupt:
        print(
            "interrupted: episodes, checkpoints and stages that were done are complete and readable",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # `robotics list envs | head`
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC and error.filename is None:
            raise  # not a file that the user can do anything about
        print(f"error: {error.filename or 'while writing'}: {error.strerror}", file=sys.stderr)
        return 1
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def dispatch(arguments: list[str]) -> None:
    """Find the command (and its subcommand) that `arguments` name, parse the rest and run it."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_table("robotics COMMAND [OPTIONS]", COMMANDS))
        return
    if arguments[0] == "--version":
        from robotics import __version__

        print(__version__)
        return
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    module = importlib.import_module(f"robotics.cli.{name}")
    program = f"robotics {name}"
    table: dict[str, tuple[type, Runner]] | None = getattr(module, "SUBCOMMANDS", None)
    if table is None:
        options_type, run = module.Options, module.run
    elif "" in table and (not rest or rest[0].startswith("-")):  # a command that has subcommands beside itself
        options_type, run = table[""]
    else:
        if not rest or rest[0] in ("-h", "--help"):
            print(_table(f"{program} SUBCOMMAND [OPTIONS]", {key: _summary(pair[0]) for key, pair in table.items()}))
            if not rest:
                raise UsageError(f"{program} needs a subcommand: {', '.join(table)}")
            return
        if rest[0] not in table:
            raise unknown_name(f"subcommand of {program}", rest[0], filter(None, table))
        options_type, run = table[rest[0]]
        program, rest = f"{program} {rest[0]}", rest[1:]
    run(parse(options_type, rest, program))


def parse(options_type: type, arguments: list[str], program: str) -> Any:
    """The options that `arguments` spell; UsageError in one line for anything that tyro refuses or does not know."""
    import tyro

    _refuse_repeated(arguments, options_type)
    options: Any
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            options, unknown = tyro.cli(
                options_type,
                args=arguments,
                prog=program,
                description=_summary(options_type),
                return_unknown_args=True,
                config=(tyro.conf.DisallowNone,),  # leaving an option out is how nothing is said
            )
    except SystemExit as stop:
        if stop.code in (0, None):  # --help
            raise
        said = _one_line(stderr.getvalue())
        if misspelt := re.search(r"Unrecognized options: (--\S+)", said):  # rather than that another one is missing
            raise _unknown_argument(misspelt[1], options_type) from None
        raise UsageError(said) from None
    if unknown:
        raise _unknown_argument(unknown[0], options_type)
    return options


def _refuse_repeated(arguments: Sequence[str], options_type: type) -> None:
    """UsageError for an option of several values that comes twice: the first ones would be forgotten."""
    import tyro

    given = [token.partition("=")[0] for token in arguments]
    for name, (kind, notes) in _named(options_type).items():
        if get_origin(kind) is tuple and tyro.conf.UseAppendAction not in notes and given.count(name) > 1:
            raise UsageError(f"{name} comes {given.count(name)} times: give all its values after one")


def _unknown_argument(token: str, options_type: type) -> UsageError:
    if not token.startswith("-"):
        return UsageError(f"unexpected argument '{token}'")
    return unknown_name("option", token.split("=")[0], _named(options_type))


def _named(options_type: type) -> dict[str, tuple[Any, list[Any]]]:
    """Option -> its type and what is noted of that, of options in options too; without positional ones."""
    import tyro

    found: dict[str, tuple[Any, list[Any]]] = {}
    for name, hint in get_type_hints(options_type, include_extras=True).items():
        kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if isinstance(kind, type) and is_dataclass(kind):
            found |= _named(kind)
        elif tyro.conf.Positional not in notes:
            found["--" + name.replace("_", "-")] = kind, notes
    return found


def _one_line(box: str) -> str:
    """tyro's framed, coloured message as one plain line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [re.sub(r"[╭╮╰╯│─]+|-{4,}", " ", line).strip() for line in plain.splitlines()]
    text = " ".join(line for line in lines if line)
    title = r"^(Parsing error|Required options|Value error|Missing argument|Invalid choice)s?:?\s*"
    return re.sub(r"\s+", " ", re.sub(title, "", text))


def _summary(options_type: type) -> str:
    return (options_type.__doc__ or "").strip().split("\n")[0]


def _table(usage: str, rows: dict[str, str]) -> str:
    width = max(len(name) for name in rows)
    lines = [f"usage: {usage}", ""]
    lines += [f"  {name:<{width}}  {text}" for name, text in rows.items()]
    return "\n".join([*lines, "", "Each takes --help. Exit codes: 0 ok, 1 failed, 2 usage, 130 interrupted."])


if __name__ == "__main__":
    sys.exit(main())
