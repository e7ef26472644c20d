"""Launches recorded, and replayed under watch: bounds, races, bytes."""
