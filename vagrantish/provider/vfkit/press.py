"""``python -m vagrantish.provider.vfkit.press SOCKET``: presses the guest's power button."""

from __future__ import annotations

import sys
from pathlib import Path

from vagrantish.provider.vfkit import rest

_ANSWER_S = 5.0


def main(path: Path) -> int:
    try:
        rest.press_power_button(path, timeout_s=_ANSWER_S)
    except rest.RestError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
