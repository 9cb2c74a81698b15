"""The record of earlier runs: one SQLite file, which is also the lock of its folder."""
