"""Rollouts: a candidate takes traffic step by step, is judged as it goes, and goes back by itself where it is worse."""
