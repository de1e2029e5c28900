"""The command ``huiyin``: global options, the list of commands, and how errors end.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done with quarantined items. Modules of commands are imported only when
one of their commands is called, so that ``huiyin --version`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final

import typer

from monitor import words
from monitor.core.errors import BadInput, ConfigError, HuiyinError
from monitor.words import _

FAILED: Final = 1
WRONG_USE: Final = 2

MODULES: Final[dict[str, tuple[str, ...]]] = {
    "up": ("up", "serve", "worker", "ui"),
    "check": ("check",),
    "doctor": ("doctor",),
    "channel": ("channel",),
    "notify": ("notify",),
    "imports": ("import",),
    "db": ("db",),
    "groups": ("group", "match"),
    "classify": ("classify",),
    "evaluate": ("evaluate",),
    "train": ("train",),
    "models": ("models",),
    "learning": ("learn", "reclassify"),
    "bench": ("bench",),
    "queue": ("queue",),
    "cases": ("case", "claim"),
    "trends": ("trends",),
    "ledger": ("ledger",),
    "user": ("user",),
    "retention": ("retention",),
}
"""Module of ``monitor.cli`` -> the commands that it registers, in the order of the help page."""


@dataclass(frozen=True, slots=True)
class Options:
    """The global options."""

    data: Path
    config: Path | None
    quiet: bool


def options(context: typer.Context) -> Options:
    """Return the global options of a running command."""
    found = context.find_object(Options)
    assert found is not None
    return found


def say(context: typer.Context, text: str) -> None:
    """Print words for a person to stderr, unless --quiet."""
    if not options(context).quiet:
        typer.echo(text, err=True)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"huiyin {version('huiyin')}")
        raise typer.Exit


def _root() -> typer.Typer:
    root = typer.Typer(
        name="huiyin",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @root.callback(
        help=_("回音：倾听工会自有渠道，读懂每条帖文，跟进每件诉求直到提出的人评价了答复。"),
        epilog=_("例如") + ": huiyin --data huiyin-data up --demo",
    )
    def globally(
        context: typer.Context,
        data: Annotated[
            Path, typer.Option("--data", metavar="DIR", envvar="HUIYIN_DATA", help=_("数据目录"))
        ] = Path("huiyin-data"),
        config: Annotated[
            Path | None,
            typer.Option(
                "--config",
                metavar="FILE",
                envvar="HUIYIN_CONFIG",
                help=_("配置文件，默认是数据目录里的 huiyin.toml"),
            ),
        ] = None,
        lang: Annotated[
            str, typer.Option("--lang", metavar="zh|en", envvar="HUIYIN_LANG", help=_("语言"))
        ] = "zh",
        quiet: Annotated[bool, typer.Option("--quiet", "-q", help=_("少说话：只输出数据和错误"))] = False,
        version: Annotated[  # noqa: ARG001
            bool, typer.Option("--version", is_eager=True, callback=_version, help=_("版本"))
        ] = False,
    ) -> None:
        if lang not in words.LANGUAGES:
            raise typer.BadParameter(_("语言只能是 zh 或 en"), param_hint="--lang")
        context.obj = Options(data.absolute(), config and config.absolute(), quiet)
        os.environ["HUIYIN_DATA"] = str(context.obj.data)
        os.environ["HUIYIN_LANG"] = lang
        if config is not None:
            os.environ["HUIYIN_CONFIG"] = str(context.obj.config)

    return root


def _language(arguments: Sequence[str]) -> str:
    """Return the language before anything is parsed: help texts are made when commands are registered."""
    for place, word in enumerate(arguments):
        if word.startswith("--lang="):
            return word.partition("=")[2]
        if word == "--lang" and place + 1 < len(arguments):
            return arguments[place + 1]
    return os.environ.get("HUIYIN_LANG", "zh")


_WITH_VALUE: Final = ("--data", "--config", "--lang")


def _command(arguments: Sequence[str]) -> tuple[int, str]:
    """Return place and name of the command among the arguments; an empty name when there is none."""
    place = 0
    while place < len(arguments):
        word = arguments[place]
        if not word.startswith("-"):
            return place, word
        place += 2 if word in _WITH_VALUE else 1
    return place, ""


def build(arguments: Sequence[str]) -> typer.Typer:
    """Return the root command with the commands that ``arguments`` need mounted."""
    root = _root()
    _place, wanted = _command(arguments)
    owner = [module for module, names in MODULES.items() if wanted in names]
    for module in owner or ([] if "--version" in arguments else MODULES):
        import_module(f"monitor.cli.{module}").register(root)
    return root


def _own_options(root: typer.Typer, words_: Sequence[str]) -> set[str]:
    """Return the options that the called command has itself: these are not taken for global ones."""
    command = typer.main.get_command(root)
    for word in words_:
        following = getattr(command, "commands", {}).get(word)
        if following is None:
            break
        command = following
    return {name for parameter in command.params for name in parameter.opts}


def hoisted(root: typer.Typer, arguments: Sequence[str]) -> list[str]:
    """Return the arguments with global options put before the command, so that they may stand anywhere."""
    place, name = _command(arguments)
    if not name:
        return list(arguments)
    before, after = list(arguments[:place]), list(arguments[place:])
    own = _own_options(root, [word for word in after if not word.startswith("-")])
    kept: list[str] = []
    while after:
        word = after.pop(0)
        option = word.partition("=")[0]
        if word == "--":
            kept += [word, *after]
            break
        if option in (*_WITH_VALUE, "--quiet", "-q") and option not in own:
            before.append(word)
            before += [after.pop(0)] if option in _WITH_VALUE and "=" not in word and after else []
        else:
            kept.append(word)
    return before + kept


def ended(error: HuiyinError) -> int:
    """Print an error as one sentence to stderr and return the exit code that it means."""
    typer.echo(str(error), err=True)
    return WRONG_USE if isinstance(error, ConfigError | BadInput) else FAILED


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell an error that nobody caught by its type and places: its message could quote a post."""
    from monitor import logs

    logs.keep_words_of_crashes()
    sys.excepthook(kind, error, trace)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; always ends by SystemExit."""
    sys.excepthook = _crashed
    arguments = list(sys.argv[1:] if argv is None else argv)
    words.use(_language(arguments))
    try:
        root = build(arguments)
        root(args=hoisted(root, arguments), prog_name="huiyin")
    except HuiyinError as error:
        sys.exit(ended(error))
