"""The contract of a stage, and the stages that ask a multimodal model."""
