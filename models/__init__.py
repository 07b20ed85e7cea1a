"""The published networks by name: backbone, dynamics, decoders and weights."""

from neurodyn.models.komplexnet import KomplexNet as KomplexNet
from neurodyn.models.komplexnet import RealTwin as RealTwin
from neurodyn.models.komplexnet import VisionTransformerTwin as VisionTransformerTwin
from neurodyn.models.komplexnet import komplexnet as komplexnet
from neurodyn.models.pc_shallow import pc_shallow as pc_shallow
