"""The command line: arguments, progress, errors."""
