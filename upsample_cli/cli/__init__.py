"""The two commands: parse options, call the library, report. Only this package uses typer and rich."""
