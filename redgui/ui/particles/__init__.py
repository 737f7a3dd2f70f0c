"""The Particles tab."""
