"""Deterministic simulation: whole cohorts in virtual time, with everything going wrong that can, and a seed that says
how."""
