"""A unit's sources: reading, checking, recording, building, solving, releasing."""
