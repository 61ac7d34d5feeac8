"""The driver as each distribution's own package: recipes are pure, building them is thin."""
