"""The guide as data: its grammar, how `guide.yaml` becomes it, and what a running cohort keeps of it."""
