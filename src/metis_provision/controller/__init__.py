"""What the controller keeps on its own disk, and how: base directories, locks, files that are whole or not there."""
