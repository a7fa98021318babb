"""How runs and batches are divided over devices, and how programs are compiled for them."""
