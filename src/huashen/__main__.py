"""`python -m huashen` is `huashen`."""

import sys

from huashen.cli import main

if __name__ == "__main__":
    sys.exit(main())
