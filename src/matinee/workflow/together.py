"""Commands that several processes, launched together, carry out: the first does them, the others help it to train."""

from __future__ import annotations

import sys
import traceback
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from matinee.core.errors import MatineeError
from matinee.core.ranks import is_helper, rank, world_size

if TYPE_CHECKING:
    from collections.abc import Callable

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def together(command: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Return a command that torchrun and Accelerate may start in several processes.

    In the first of them it does and returns what it always does. In the others it helps the first one to train and then
    ends the process, so that what a script does with the result is done once.
    """

    @wraps(command)
    def carried_out(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        if world_size() == 1:
            return command(*args, **kwargs)
        if is_helper():
            from matinee.training.fit import help_to_fit

            # By ending, not by an error, which a script might catch: it would go on in two processes.
            try:
                help_to_fit()
            except MatineeError as error:
                sys.stderr.write(f"matinee: process {rank()}: {' '.join(str(error).split())}\n")
                raise SystemExit(error.exit_code) from error
            except Exception as error:
                traceback.print_exc()
                raise SystemExit(1) from error
            raise SystemExit(0)
        from matinee.training.processes import leading

        with leading():
            return command(*args, **kwargs)

    return carried_out
