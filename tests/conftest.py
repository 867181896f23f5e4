"""Being here is enough: pytest puts the folder above this package on the path, so tests find the services."""
