"""The bot on Discord: Message and Form drawn with its native components."""
