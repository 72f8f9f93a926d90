"""The cerebellum: quadratic programs, model-predictive and whole-body control. Numpy, MuJoCo and QP solvers only."""

#: Controller -> what it is, as `robotics list controllers` shows it.
CONTROLLERS = {
    "cartesian_mpc": "50 Hz: smooth end-effector trajectories under velocity and acceleration limits, one condensed QP",
    "wbc": "500 Hz: weighted tasks under torque, velocity, position and collision limits, one dense QP",
    "arms": "Cartesian MPC feeding the whole-body controller, as torques or as position-servo targets",
    "carrying": "500 Hz: motion, squeezing force and torques of two hands on one object, grasp matrix in one dense QP",
    "bimanual": "50 Hz: trajectory MPC of an object between two hands, which approach, press, carry and let go",
    "mobile": "arms and the holonomic base they stand on in one whole-body QP; the base goes where the hands need it",
    "srbd_mpc": "50 Hz: ground reaction forces of a legged robot as one rigid body, one condensed QP",
    "legged_wbc": "500 Hz: accelerations, contact forces and torques of a floating base, one dense QP",
    "locomotion": "gaits, footholds, convex MPC and whole-body control of a robot on legs",
    "biped_wbc": "500 Hz: accelerations, corner forces of flat feet and torques of a humanoid, one dense QP",
    "biped": "capture-point balance, steps in place and time by one small QP, walking and squatting of a humanoid",
    "car": "50 Hz: linear time-varying MPC of a single-track car in six steps, with a softened circle of friction",
    "sampling": "predictive sampling, MPPI and CEM over splines of controls, for any model, on mujoco.batch",
    "ilqr": "iterative LQR with control limits on mjd_transitionFD, for any smooth model",
}
