"""One key of a config changed, the rest as it was."""

import copy


def changed(config, path, value):
    """A copy of a config in which the key at a path, as `runs.augmented.train.steps`, has another value."""
    found = copy.deepcopy(config)
    *above, last = path.split(".")
    section = found
    for key in above:
        section = section.setdefault(key, {})
    section[last] = value
    return found
