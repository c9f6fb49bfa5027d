"""The mentee journey: what became of each mentee's sessions in a month, for the people who run the programme."""
