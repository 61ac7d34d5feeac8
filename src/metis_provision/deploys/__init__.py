"""Deploys for pyinfra: the order of operations on a host."""
