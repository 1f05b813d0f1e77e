"""The command line: one verb a file, each thin. What a user can mend ends in one `error:` line and exit code 2."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
import traceback

import typer

from structseg.cli import (
    compare,
    config,
    convert,
    demo,
    doctor,
    download,
    evaluate,
    export,
    grid,
    inspect,
    listing,
    predict,
    score,
    train,
)
from structseg.errors import UserError, did_you_mean, first_line

app = typer.Typer(
    name="structseg",
    help="Semantic segmentation from the labels and sensors you have.",
    epilog="Every command takes --debug: on an error, show where it came from.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("inspect")(inspect.inspect)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("score")(score.score)
app.command("predict")(predict.predict)
app.command("compare")(compare.compare)
app.command("grid")(grid.grid)
app.command("export")(export.export)
app.command("convert")(convert.convert)
app.command("download")(download.download)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("list")(listing.show)
app.add_typer(config.app, name="config")

_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # the base of all usage errors


def main() -> None:
    """Entry point of the `structseg` command."""
    arguments = [word for word in sys.argv[1:] if word != "--debug"] or ["--help"]
    debug = "--debug" in sys.argv
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve a shared machine
    keep_memory()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: no name and no terminal ends a command
    sys.exit(_run(arguments, debug=debug))


def keep_memory() -> None:
    """Have the C library (glibc) keep what is freed, instead of asking the system for fresh pages for large arrays.

    Networks free and ask for the same sizes again and again, and a fresh page costs a fault and a clearing; the peak is
    the same. benchmarks/allocator.py measures it. Nothing happens where there is no such setting.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None:
        for option, value in ((-4, 0), (-1, 2**31 - 1)):  # M_MMAP_MAX: no maps; M_TRIM_THRESHOLD: nothing given back
            mallopt(option, value)


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        app(arguments, prog_name="structseg", standalone_mode=False)
    except UserError as error:
        return _fail(str(error), debug=debug)
    except _USAGE_ERROR as error:
        return _fail(_usage(error), debug=debug)
    except OSError as error:
        return _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", debug=debug)
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        return _fail(
            f"out of memory ({first_line(error).rstrip('.')}); lower optim.batch or data.crop, or for pictures "
            "inference.batch, or set inference.tile=512",
            debug=debug,
        )
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    return 0


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out: Python's, an accelerator's or torch's on a processor; by name, for torch loads slowly."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or "DefaultCPUAllocator" in str(error)


def _usage(error: Exception) -> str:
    """The message of a usage error, with a near name where there is one."""
    message = str(getattr(error, "format_message", lambda: error)()).rstrip(".")
    message = message[:1].lower() + message[1:]
    if message.startswith("no such option"):
        wrong = str(getattr(error, "option_name", ""))
        message = f"no such option '{wrong}'{did_you_mean(wrong, getattr(error, 'possibilities', None) or ())}"
    context = getattr(error, "ctx", None)
    return f"{context.command_path}: {message}" if context is not None else message


def _fail(message: str, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # a progress line may stand there
    print(f"{clear}error: {' '.join(message.split())}", file=sys.stderr)
    return 2
