"""Devices: how runs and batches are divided over them, and how programs are compiled for that."""
