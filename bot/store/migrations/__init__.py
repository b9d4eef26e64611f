"""How a database gets from any released version to this one; `ninety migrate` runs it."""
