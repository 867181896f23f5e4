"""The tests. A package, so that they find the services and `tests.processes` from any folder and under any runner."""
