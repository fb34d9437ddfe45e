"""Settings of all property tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A test says what must hold, not how fast: a busy machine is no finding. The rest is hypothesis' own choice,
# which knows a CI by its environment.
settings.register_profile(
    "unhurried",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unhurried")
