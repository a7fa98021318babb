"""Benchmarks beside other libraries, each in a process of its own; nothing in rnnjax imports this."""
