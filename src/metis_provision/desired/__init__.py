"""The pure plan: settings and survey in, desired state out."""
