"""``python -m vagrantish``."""

import sys

from vagrantish.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
