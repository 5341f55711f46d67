"""Files, locks, hashes and random numbers: what every layer may use."""
