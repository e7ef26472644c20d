"""How an answer is judged beside the notebook: recorded cases, comparison, verdict, card."""
