"""Legged locomotion: gaits, footholds, convex MPC on a single rigid body, and whole-body control of a floating base."""
