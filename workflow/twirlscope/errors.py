"""What a user is told when something they gave is wrong: where, what was expected, what came, the nearest name."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)  # the disk is full, or not ours to write on


class UserError(ValueError):
    """One mistake of the user's, complete enough to mend it without reading code.

    Args:
        where: key path (`runs.demo.train.steps`), file, or file and frame.
        expected: what would have been right, with its unit.
        got: what came instead.
        known: all names that would have been right; the nearest one is suggested.
    """

    def __init__(self, where: object, expected: str, got: object, known: Iterable[str] = ()):
        self.where, self.expected, self.got, self.known = str(where), expected, got, list(known)
        self.message = f"expected {expected}, got {got}"
        if self.known:
            near = closest_name(str(got).strip("'\""), self.known)
            self.message += f"; did you mean {near!r}?" if near else ""
            self.message += f" (known: {', '.join(self.known)})"
        super().__init__(f"{where}: {self.message}")

    def at(self, where: str) -> UserError:
        """The same mistake at the place where the user made it."""
        return UserError(where, self.expected, self.got, self.known)


class UserErrors(ValueError):  # noqa: N818
    """Several mistakes, reported at once, one a line."""

    def __init__(self, errors: list[UserError]):
        self.errors = errors
        super().__init__("\n".join(f"  - {e}" for e in errors))


class Stopped(RuntimeError):  # noqa: N818
    """The work was told to stop and is saved: no mistake, and the same job started again goes on where it was."""


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is near."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return match[0] if match else None
