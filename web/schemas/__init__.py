"""What the API reads and writes, as pydantic models; OpenAPI is generated from them."""
