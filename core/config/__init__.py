"""`config.yaml`: what can be set (schema) and how it is read and written (files)."""

from core.config.files import describe_allowed, dump_config, load_config, save_section
from core.config.schema import (
    RECIPE_VERSION,
    AugmentationConfig,
    Config,
    DashboardConfig,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    Recipe,
    TrainingConfig,
)

__all__ = [
    "RECIPE_VERSION",
    "AugmentationConfig",
    "Config",
    "DashboardConfig",
    "DataConfig",
    "EvaluationConfig",
    "ModelConfig",
    "Recipe",
    "TrainingConfig",
    "describe_allowed",
    "dump_config",
    "load_config",
    "save_section",
]
