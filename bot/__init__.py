"""Who says it and where: the cohort's rules, its database, and the chat rooms it lives in."""
