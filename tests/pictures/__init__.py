"""The pictures of docs/discord.md: real messages and forms, laid out as Discord does, and sketches of its portal."""
