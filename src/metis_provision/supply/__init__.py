"""Payloads on the controller: found, hashed against their pin, refused."""
