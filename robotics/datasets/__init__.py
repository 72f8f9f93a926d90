"""LeRobotDataset v3.0 on disk: written one atomic episode at a time, read, checked and repaired without LeRobot."""
