"""Stand-ins for the vendor's driver and tools: our own small C, for the lab's virtual card only."""
