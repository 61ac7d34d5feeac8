"""Facts for pyinfra: one survey per look, each section usable from the pyinfra command line."""
