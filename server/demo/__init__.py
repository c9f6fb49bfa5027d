"""Demo data and demo sessions, for trying the product without setting anything up."""

from server.demo.load import load_demo
from server.demo.session import demo_session

__all__ = ["demo_session", "load_demo"]
