"""The OpenAPI documents held against the running services."""
