"""YAML that is data, and the typed loaders that read it."""
