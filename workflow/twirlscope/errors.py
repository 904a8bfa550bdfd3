"""Errors for users: where the mistake is, what was expected, what was given instead, and the closest known name."""

from __future__ import annotations

import difflib
import errno
import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

# the disk or a quota is full, a file longer than allowed, or the place may not be written
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)


class UserError(ValueError):
    """One mistake of the user, described so that it can be corrected without reading code.

    Args:
        where: key path (`runs.demo.train.steps`), file, or file and frame.
        expected: description of a valid value, with its unit.
        got: the value that was given.
        known: all valid names; the closest one is suggested.
    """

    def __init__(self, where: object, expected: str, got: object, known: Iterable[str] = ()):
        self.where, self.expected, self.got, self.known = str(where), expected, got, list(known)
        self.message = f"expected {expected}, got {got}"
        if self.known:
            closest = closest_name(str(got).strip("'\""), self.known)
            self.message += f"; did you mean {closest!r}?" if closest else ""
            self.message += f" (known: {', '.join(self.known)})"
        super().__init__(f"{where}: {self.message}")

    def at(self, where: str) -> UserError:
        """The same mistake, reported at another place: the one where the user made it."""
        return UserError(where, self.expected, self.got, self.known)


class UserErrors(ValueError):  # noqa: N818
    """Several mistakes, reported at once, one per line."""

    def __init__(self, errors: list[UserError]):
        self.errors = errors
        super().__init__("\n".join(f"  - {e}" for e in errors))


class Stopped(RuntimeError):  # noqa: N818
    """A signal stopped the work, which is saved. It is no mistake: the same job, started again, continues there."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """A context for imports of packages that only an extra of the project installs.

    Raises:
        UserError: a package is not installed; the message names the extra and the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == __package__:
            raise
        install = f"pip install 'twirlscope[{extra}]'"
        raise UserError(package, f"a package of the extra {extra!r} ({install})", "none of this name") from error


class Deferred:
    """A module that is imported at its first use; for slow packages, in modules that planning or every job reads.

    Raises:
        ModuleNotFoundError: its package is not installed, at once.
    """

    def __init__(self, name: str):
        self._name = name
        package = name.partition(".")[0]
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most similar to `name`, in upper or lower case, or None if none is similar."""
    by_lower_case = {other.lower(): other for other in known}
    match = difflib.get_close_matches(name.lower(), list(by_lower_case), n=1, cutoff=0.6)
    return by_lower_case[match[0]] if match else None
