"""Inside a process that runs a learner's code: the session, its walls, the questions it answers."""
