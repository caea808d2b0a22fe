"""The `matinee` program: the group of commands, and how errors reach the terminal."""

from __future__ import annotations

import os
import sys
import time
import traceback
from typing import NoReturn

import click

from matinee._version import __version__
from matinee.cli import terminal
from matinee.cli.advise import advise
from matinee.cli.audit import audit
from matinee.cli.bench import bench
from matinee.cli.compare import compare
from matinee.cli.distill import distill
from matinee.cli.encoders import encoders
from matinee.cli.evaluate import evaluate
from matinee.cli.explain import explain
from matinee.cli.export import export
from matinee.cli.fetch import fetch
from matinee.cli.leaderboard import leaderboard
from matinee.cli.predict import predict
from matinee.cli.report import report
from matinee.cli.score import score
from matinee.cli.search import search
from matinee.cli.serve import serve
from matinee.cli.stress import stress
from matinee.cli.train import train
from matinee.core.errors import MatineeError, SettingsError
from matinee.core.ranks import is_helper, rank, refuse_several, speaks

INTERRUPTED = 130

# torchrun ends all processes as soon as one has failed: the first one should have said why by then.
_SECONDS_TO_SAY_IT = 3

# What torchrun and Accelerate may start in several processes.
_TOGETHER = {"train", "distill"}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="matinee")
@terminal.shared_options
@click.pass_context
def cli(context: click.Context) -> None:
    """Fine-tune a small pretrained encoder into a text classifier, and learn honestly how good it is.

    \b
      matinee train imdb --train-size 1000 --test-size 2000
      matinee predict runs/… "A film to fall asleep in."
    """
    if context.invoked_subcommand not in _TOGETHER:
        refuse_several(f"matinee {context.invoked_subcommand}")


for command in (
    advise,
    audit,
    train,
    distill,
    search,
    evaluate,
    report,
    compare,
    leaderboard,
    stress,
    predict,
    score,
    explain,
    serve,
    export,
    bench,
    fetch,
    encoders,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the program: results to standard output, everything else to standard error, errors as one line."""
    # The hub library's own bars and telemetry would run across ours.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the program with the given arguments and return its exit code."""
    try:
        result = cli.main(arguments, prog_name="matinee", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "matinee"
        return _fail(f"{_one_line(error.format_message())} (see `{where} --help`)", 2, said=not speaks())
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted.", INTERRUPTED, said=not speaks())
    except BrokenPipeError:  # `matinee predict … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MatineeError, click.ClickException) as error:
        said = not speaks() and isinstance(error, SettingsError)
        return _fail(_one_line(str(error) or error.__class__.__name__), getattr(error, "exit_code", 2), said=said)
    except OSError as error:
        return _fail(_one_line(f"{error.strerror or error}: {error.filename or 'no file named'}"), 2)
    except Exception as error:  # noqa: BLE001 - the last resort: nobody shall see a bare traceback
        return _fail(
            _one_line(f"unexpected {type(error).__name__}: {error} (a bug in matinee: --debug shows where)"), 1
        )


def _fail(message: str, code: int, *, said: bool = False) -> int:
    """Print an error, unless the first of several processes says it; return the exit code."""
    if terminal.debug():
        traceback.print_exc()
    if said:
        time.sleep(_SECONDS_TO_SAY_IT)
    else:
        terminal.say_error(f"process {rank()}: {message}" if is_helper() else message)
    return code


def _one_line(message: str) -> str:
    return " ".join(message.split())
