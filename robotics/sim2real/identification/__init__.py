"""Which parameters of a model logs can tell, what they are, how sure that is, and whether the model got better."""
