"""What the tests of the command line share."""

# A restoration of a moment: a closed-form prior, few steps.
FAST = ("--prior", "gaussian:size=32", "--sampler", "reddiff:steps=5", "--device", "cpu")
