"""The one remote look at a host: the shell script and the parser of what it prints."""
