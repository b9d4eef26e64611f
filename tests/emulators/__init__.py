"""Loopback platforms for the tests, which refuse as the real ones do."""
