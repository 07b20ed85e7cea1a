"""The published networks by name: backbone, dynamics, decoders and weights."""

from neurodyn.models.chunk_learners import ChunkLearner as ChunkLearner
from neurodyn.models.chunk_learners import ExemplarLearner as ExemplarLearner
from neurodyn.models.continuous_rnn import ContinuousRNN as ContinuousRNN
from neurodyn.models.efficientnet import efficientnet_b0 as efficientnet_b0
from neurodyn.models.efficientnet_lite import efficientnet_lite0 as efficientnet_lite0
from neurodyn.models.gaspnet import gaspnet as gaspnet
from neurodyn.models.gattanet import gattanet as gattanet
from neurodyn.models.gattanet import matched_cnn as matched_cnn
from neurodyn.models.grammar_nets import GrammarNets as GrammarNets
from neurodyn.models.komplexnet import KomplexNet as KomplexNet
from neurodyn.models.komplexnet import RealTwin as RealTwin
from neurodyn.models.komplexnet import VisionTransformerTwin as VisionTransformerTwin
from neurodyn.models.komplexnet import komplexnet as komplexnet
from neurodyn.models.participants import simulated_participants as simulated_participants
from neurodyn.models.pc_shallow import pc_shallow as pc_shallow
from neurodyn.models.pefficientnet import pefficientnet_b0 as pefficientnet_b0
from neurodyn.models.pefficientnet import pefficientnet_lite0 as pefficientnet_lite0
from neurodyn.models.presnet import presnet18 as presnet18
from neurodyn.models.pshallow import pshallow as pshallow
from neurodyn.models.pvgg import pvgg16 as pvgg16
from neurodyn.models.resnet import resnet18 as resnet18
from neurodyn.models.resnet import resnet50 as resnet50
from neurodyn.models.train_grammar import train_nets as train_nets
from neurodyn.models.vgg import vgg16 as vgg16
from neurodyn.models.yoke_grammar import yoked as yoked
