"""Virtual hosts with a virtual card: for tests, rehearsals and contributors without hardware."""
