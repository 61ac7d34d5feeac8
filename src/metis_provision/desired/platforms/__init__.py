"""What differs between distribution families, one module each, and nowhere else."""
