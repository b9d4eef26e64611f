"""`python -m docs DIR` writes the pages as plain Markdown; `ninety pages DIR` runs it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from content.loading import GuideError, default_path, load
from docs.calendar_files import calendars
from docs.pages import pages, write
from docs.takeaway import files


def main() -> int:
    parser = argparse.ArgumentParser(prog="ninety pages", description=__doc__)
    parser.add_argument("directory", type=Path, help="made if it is not there")
    directory: Path = parser.parse_args().directory
    try:
        guide = load(Path(os.environ.get("NINETY_GUIDE") or default_path()))
        made = pages(guide)
        write(made, directory, files(guide, made) | dict(calendars(guide)))
    except (GuideError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {len(made)} pages of the guide, the hand-written ones and a mkdocs.yml to {directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
