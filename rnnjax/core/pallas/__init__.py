"""The recurrence as one Pallas kernel for TPUs: ``unroll(..., backend="pallas")``."""
