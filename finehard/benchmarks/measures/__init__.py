"""What is measured, a function of a reader's data and an `Encoder`."""

from finehard.benchmarks.measures.box_classes import BoxClassification
from finehard.benchmarks.measures.box_texts import BoxTexts
from finehard.benchmarks.measures.choice import Choice
from finehard.benchmarks.measures.classification import Classification
from finehard.benchmarks.measures.retrieval import Retrieval

__all__ = ["BoxClassification", "BoxTexts", "Choice", "Classification", "Retrieval"]
