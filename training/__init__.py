"""How the weights of `course.gpt` came about: text, vocabulary, training, measurement. Not shipped to learners."""
