"""Simple alternatives: scripts that enlarge a folder twice, bilinearly, on all cores."""
