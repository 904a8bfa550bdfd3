"""From measured stores to one page: a list of trainings goes in; sentences, figures and tables come out."""
