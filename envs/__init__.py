"""Robots, scenes, tasks, experts and rendering. Registered with Gymnasium by `import robotics`."""

#: Robot -> what it is, as `robotics list robots` shows it.
ROBOTS = {
    "aloha": "two ViperX-300 arms (6 joints each) with parallel gripper, facing each other over a table",
    "car": "BMW-320i-class saloon: four sprung wheels on real contacts, steered and driven by wire",
    "humanoid": "Unitree-G1-class, 29 torque-controlled joints on a free base, without hands",
    "quadruped": "Unitree-Go2-class, 12 torque-controlled joints on a free base",
    "mobile_aloha": "the two arms of aloha side by side on a holonomic base: x, y and yaw by force",
    "pusher": "a round finger on two position servos, which pushes a T over a table",
}
