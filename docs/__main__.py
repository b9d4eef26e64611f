"""`python -m docs DIR` writes the pages as plain Markdown; `ninety pages DIR` runs it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from content.loading import GuideError, default_path, load
from docs.pages import pages, write


def main() -> int:
    parser = argparse.ArgumentParser(prog="ninety pages", description=__doc__)
    parser.add_argument("directory", type=Path, help="made if it is not there")
    directory: Path = parser.parse_args().directory
    try:
        made = pages(load(Path(os.environ.get("NINETY_GUIDE") or default_path())))
        write(made, directory)
    except (GuideError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {len(made)} pages of the guide, the hand-written ones and a mkdocs.yml to {directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
