"""What earlier runs have done: one SQLite file, which is also the lock of its folder."""
