"""What the tabs share: browser components, controls, the form, wiring, and the base of a tab that plays runs."""
