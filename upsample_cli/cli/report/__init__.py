"""What a run reports: console, JSON lines, progress and gallery."""
