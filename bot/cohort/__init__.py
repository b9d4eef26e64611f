"""The rules of a cohort. They take values and return values: no clock, no database, no chat."""
