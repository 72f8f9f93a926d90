"""The gap between a simulation and its target: factors, hidden twins, attribution, identification from logs."""
