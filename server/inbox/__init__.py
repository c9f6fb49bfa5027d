"""What a person was told, as it is read here: the inbox of Visavis itself."""
