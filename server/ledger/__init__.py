"""Tokens as money: accounts and immutable transfers between them."""
