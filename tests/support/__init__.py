"""What the tests share and is not itself a test: oracles, generated files, and ways to run the commands."""
