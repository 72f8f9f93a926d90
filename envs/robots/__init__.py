"""Embedded robots: MJCF with primitive geometry and published kinematics, masses and limits."""
