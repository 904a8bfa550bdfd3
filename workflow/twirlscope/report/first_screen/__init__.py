"""The first screen of the page: the question, the data, one card per task, and the claims in a strip."""
