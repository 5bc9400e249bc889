"""A model writes: decoding with a cache, sampling, beam search."""

from glassbox.generation.answer import Answer, Piece
from glassbox.generation.beam import BeamSearch, Hypothesis, Node, beam_search
from glassbox.generation.decoding import Chosen, Completion, Decoder, completion
from glassbox.generation.ending import Ending, Finish
from glassbox.generation.likelihood import Likelihood
from glassbox.generation.settings import Decoding

__all__ = [
    "Answer",
    "BeamSearch",
    "Chosen",
    "Completion",
    "Decoder",
    "Decoding",
    "Ending",
    "Finish",
    "Hypothesis",
    "Likelihood",
    "Node",
    "Piece",
    "beam_search",
    "completion",
]
