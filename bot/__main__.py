"""`python -m bot` is `ninety`."""

from bot.cli import main

main()
