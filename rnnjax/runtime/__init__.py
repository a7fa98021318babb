"""The process and the machine: signals, memory, threads, progress."""
