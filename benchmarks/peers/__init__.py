"""What people write instead: scripts that enlarge a folder twice, bilinearly, on all cores."""
