"""Pictures in and out: sources decode rows, sinks encode rows. The only rooms that know Pillow."""
