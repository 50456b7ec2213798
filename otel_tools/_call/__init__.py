"""1. How one call runs: the steps that policies yield, the plan of a tool, and the drivers that perform the steps."""
