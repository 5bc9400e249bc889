"""A model writes: decoding with a cache, sampling, beam search."""

from glassbox.generation.beam import BeamSearch, Hypothesis, Node, beam_search
from glassbox.generation.decoding import Chosen, Completion, Decoder, Likelihood, Piece, completion
from glassbox.generation.settings import Decoding

__all__ = [
    "BeamSearch",
    "Chosen",
    "Completion",
    "Decoder",
    "Decoding",
    "Hypothesis",
    "Likelihood",
    "Node",
    "Piece",
    "beam_search",
    "completion",
]
