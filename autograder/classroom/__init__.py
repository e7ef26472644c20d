"""Hand-ins of a class: taken in, judged, recorded, reported."""
