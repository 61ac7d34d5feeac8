"""How a model is spread over the cores of an AIPU: decided from sizes and a wish, and written down for the SDK."""
