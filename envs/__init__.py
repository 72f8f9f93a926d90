"""Robots, scenes, tasks, experts and rendering. Registered with Gymnasium by `import robotics`."""

#: Robot -> what it is, as `robotics list robots` shows it.
ROBOTS = {
    "quadruped": "Unitree-Go2-class, 12 torque-controlled joints on a free base",
    "humanoid": "Unitree-G1-class, 29 torque-controlled joints on a free base, without hands",
    "arm": "Franka-Panda-class, 7 torque-controlled joints and a parallel gripper",
    "bimanual": "two ViperX-300 arms (6 joints each) with parallel gripper, facing each other over a table: ALOHA",
    "mobile": "the same two arms side by side on a holonomic base: x, y and yaw by force",
    "car": "BMW-320i-class saloon: four sprung wheels on real contacts, steered and driven by wire",
    "pusher": "a round finger on two position servos, which pushes a T over a table",
}
