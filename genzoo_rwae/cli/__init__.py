"""The `genzoo` command: one verb, one file.

Nothing heavy is imported before a verb needs it. `-p` and `--debug` may stand
anywhere on the line: plugins can bring verbs, so they are loaded before the verb is looked for.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from genzoo_rwae.cli import (
    actions,
    build,
    check,
    compare,
    data,
    doctor,
    encode,
    evaluate,
    explore,
    judge,
    list_,
    new,
    plugins,
    reconstruct,
    report,
    sample,
    schema,
    show,
    swap,
    sweep,
    traverse,
)
from genzoo_rwae.cli.session import take_global_options
from genzoo_rwae.errors import GenzooError, GenzooWarning

__all__ = ["main"]

_EPILOG = (
    "Anywhere on the line: -p FILE|MODULE loads a plugin, -p no:NAME blocks one, "
    "--debug shows tracebacks."
)


def application() -> typer.Typer:
    """The Typer application with the built-in verbs."""
    app = typer.Typer(
        help="Assemble, train and measure generative models of sequences from registered parts.",
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def genzoo(
        version: bool = typer.Option(
            False, "--version", help="Show the version.", callback=_version, is_eager=True
        ),
    ) -> None:
        pass

    for verb in (
        build, check, list_, show, plugins, schema, new, sample, reconstruct, swap, encode, actions,
        evaluate, judge, report, doctor, compare, traverse, explore, sweep, data,
    ):  # fmt: skip
        verb.add_to(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code (0 done, 1 failed, 2 spec or call, 3 plugin)."""
    session, rest = take_global_options(list(sys.argv[1:] if arguments is None else arguments))
    try:
        with _plain_warnings():
            app = application()
            session.add_commands(app)
            app(args=rest, obj=session, prog_name="genzoo")
    except GenzooError as error:
        if session.debug:
            raise
        session.fail(error)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as ended:
        if ended.code == 130 and _comes_of_an_interrupt(ended):  # of which typer says nothing
            _interrupted()
        raise
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if session.debug:
            raise
        session.fail_unexpectedly(error)


def _interrupted() -> NoReturn:
    print("genzoo: stopped at once; what was written is kept", file=sys.stderr)
    sys.exit(130)


def _comes_of_an_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show our own warnings as a sentence, without the place in the code."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_plainly(
            message: Warning | str, category: type[Warning], *place: Any, **further: Any
        ) -> None:
            if issubclass(category, GenzooWarning):
                print(f"warning: {message}", file=sys.stderr)
            else:
                show(message, category, *place, **further)

        warnings.showwarning = show_plainly
        yield


def _version(wanted: bool) -> None:
    if wanted:
        from genzoo_rwae import __version__

        print(f"genzoo-rwae {__version__}")
        raise typer.Exit
