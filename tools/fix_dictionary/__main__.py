"""Prints a data file: `python -m tools.fix_dictionary FIX44.xml > …/data/FIX.4.4.txt`."""

import sys
from pathlib import Path

from tools.fix_dictionary.convert import convert


def main() -> int:
    """Convert the file that the one argument names; 2 when there is not one argument."""
    if len(sys.argv) != 2:
        print("usage: python -m tools.fix_dictionary FILE.xml", file=sys.stderr)
        return 2
    path = Path(sys.argv[1])
    sys.stdout.write(convert(path.read_bytes(), path.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
