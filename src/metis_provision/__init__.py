"""Takes hosts with an Axelera Metis accelerator from a bare OS to a card that provably works."""
