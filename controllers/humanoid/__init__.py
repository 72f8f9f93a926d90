"""A robot on two legs: whole-body control with flat feet, balance and steps by its capture point."""
