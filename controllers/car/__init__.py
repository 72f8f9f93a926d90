"""A car on a course: single-track models, linear time-varying model-predictive control, and the driver around it."""
