"""The cerebellum: quadratic programs, model-predictive and whole-body control. Numpy, MuJoCo and QP solvers only."""
