"""Few examples, the same at every run: new shapes are new programs to compile."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "rnnjax", max_examples=20, deadline=None, derandomize=True, print_blob=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("rnnjax")
