"""What holds for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes says more of what else runs on the machine than of ours.
settings.register_profile("ninety", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ninety")
