"""A fleet in a box: many hosts on one machine, in namespaces of their own, on a wire that delays and cuts."""
