"""One canonical notebook in, one verdict out."""
