"""Robots, scenes, tasks, experts and rendering. Registered with Gymnasium by `import robotics`."""
