"""`config.yaml`: what can be set (schema) and how it is read and written (files)."""

from core.config.files import describe_allowed, dump_config, load_config, save_section
from core.config.presets import PRESETS, with_preset
from core.config.schema import Config, DashboardConfig, DataConfig, EvaluationConfig, Recipe
from core.config.training import NAMED_WEIGHTS, AugmentationConfig, ModelConfig, TrainingConfig
