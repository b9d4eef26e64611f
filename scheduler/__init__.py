"""When: what falls due at which instant, the clocks that tell the time, and the pulse."""
