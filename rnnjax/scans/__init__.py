"""Every ``lax.scan`` of a traced JAX program: where it stands, and arrays added to its carries."""
