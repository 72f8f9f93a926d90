"""Quadratic programs: one description, three ways to solve it, and a guard that trusts none of them."""

from robotics.controllers.qp.guard import GuardedSolver
from robotics.controllers.qp.problem import QP, QPSolution, Residuals, residuals
from robotics.controllers.qp.solvers import SOLVERS, solve

__all__ = ["QP", "SOLVERS", "GuardedSolver", "QPSolution", "Residuals", "residuals", "solve"]
