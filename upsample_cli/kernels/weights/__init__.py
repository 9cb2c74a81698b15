"""Read weights of layers from files. Files cannot run code, and their cost is bounded before they are read."""
