"""The live figures against the package, in Node."""
