"""1. How a call runs: what a policy may ask for, in which order policies stand, and who acts."""
