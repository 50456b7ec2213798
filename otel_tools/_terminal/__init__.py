"""Terminal output that the command line and the demo share."""
