"""The manager: owns every party of its area codes."""
