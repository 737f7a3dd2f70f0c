"""Who may ask for what, and when it is their turn: limits, the queue, sessions, the gate before gradio, uploads."""
