"""The pictures of docs/discord.md and docs/slack.md: real messages and forms, laid out as each platform does it, and
sketches of the platforms' pages for developers.
"""
