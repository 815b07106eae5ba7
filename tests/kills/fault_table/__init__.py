"""The fault table: a row for each fault that is tried on the engine, which `faults.py` runs."""
