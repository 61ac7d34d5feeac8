"""Runs over inventories: what pyinfra's own command line cannot do."""
