"""The published networks by name: backbone, dynamics, decoders and weights."""

from neurodyn.models.pc_shallow import pc_shallow as pc_shallow
