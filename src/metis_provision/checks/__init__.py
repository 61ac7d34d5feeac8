"""The check catalogue and the pure functions that turn evidence into verdicts."""
