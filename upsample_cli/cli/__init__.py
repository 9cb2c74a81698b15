"""The two commands. typer and rich live here only: parse, call, report."""
