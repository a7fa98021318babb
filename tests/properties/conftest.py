"""Hypothesis draws few examples, the same in every run: each new shape is a new program to compile."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "rnnjax", max_examples=20, deadline=None, derandomize=True, print_blob=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("rnnjax")
