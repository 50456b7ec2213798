"""What the programs of the package print to a terminal."""
