"""Networks, objectives, samplers, chunk execution, normalisation and checkpoints. Pure torch."""
