"""What a run is and how it is computed. Nothing here knows of a page or imports gradio."""
