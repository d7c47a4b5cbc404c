"""The sections `augmentation`, `model` and `training` of config.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.config.section import Section


class AugmentationConfig(Section):
    """Random changes to training images. Never applied to validation or test images."""

    horizontal_flip: bool = Field(True, title="Horizontal flip")
    """Mirror half of the training images."""
    vertical_flip: bool = Field(False, title="Vertical flip")
    """Turn half of the training images upside down."""
    rotation: float = Field(15.0, ge=0.0, le=45.0, title="Rotation (degrees)")
    """Largest rotation, either way."""
    zoom: float = Field(0.15, ge=0.0, le=0.5, title="Zoom")
    """Largest change of scale, either way: 0.1 is ±10 %."""
    brightness: float = Field(0.15, ge=0.0, le=0.5, title="Brightness")
    """Largest shift of grey levels, either way."""
    contrast: float = Field(0.15, ge=0.0, le=0.5, title="Contrast")
    """Largest change of contrast, either way."""
    mixup: float = Field(0.0, ge=0.0, le=1.0, title="Mixup")
    """Blend pairs of training images and their labels (Zhang et al. 2018); the larger, the more even the blend (alpha of the
    Beta distribution). 0: off."""


# Values of model.weights that are no path.
NAMED_WEIGHTS = ("auto", "hub", "none")


class ModelConfig(Section):
    """The network."""

    name: str = Field("small_cnn", min_length=1, title="Architecture")
    """small_cnn (our own, quick on a laptop), tf_efficientnet_lite0 (for real mammograms: its ImageNet weights come with
    MammoLab), efficientnet_b0, efficientnet_b1, resnet50, densenet121, or any other timm name."""
    weights: str = Field("auto", min_length=1, title="Starting weights")
    """auto: ImageNet weights, from this machine's Hugging Face cache, an installed package (those of tf_efficientnet_lite0 come
    with MammoLab) or the hub; none for an architecture without any (small_cnn). hub: from the cache or the hub (needs internet
    once). none: from scratch. Or the path of a .safetensors or .pth file."""
    views: Literal[1, 2] = Field(1, title="Views")
    """1: every image is judged by itself. 2: a breast is judged from all its images, CC and MLO, which pass one after the other
    through the same network before their features are fused."""
    fusion: Literal["mean", "max", "attention", "concat"] = Field("mean", title="Fusion of views")
    """With two views, how the features of a breast's images become one: their mean; the largest value of each feature (max); a
    mean with weights that the network computes (attention, Ilse et al. 2018); or CC beside MLO, each with weights of its own in
    the last layer (concat)."""
    dropout: float = Field(0.2, ge=0.0, le=0.9, title="Dropout")
    """Dropout before the last layer."""
    gradient_checkpointing: bool = Field(False, title="Gradient checkpointing")
    """Saves GPU memory at the price of about a third more time, where the architecture supports it."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict, title="timm options")
    """Further arguments for timm.create_model, for example pad_type: same."""


class AdvancedTrainingConfig(Section):
    """Settings that few trainings need to change."""

    ema_decay: float = Field(0.99, ge=0.0, lt=1.0, title="EMA decay")
    """Validate and save an exponential moving average of the weights with this decay per update (0.99-0.9999; smaller in the
    first updates). 0: the weights themselves."""
    weight_decay: float = Field(0.05, ge=0.0, le=1.0, title="Weight decay")
    """AdamW weight decay; not applied to normalisation layers and biases."""
    gradient_clip_norm: float = Field(1.0, ge=0.0, le=1000.0, title="Gradient clipping")
    """Maximum gradient norm; 0 disables clipping."""
    accumulation_steps: int = Field(1, ge=1, le=256, title="Gradient accumulation")
    """Number of batches whose gradients are added up before the weights are updated."""
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0, title="Label smoothing")
    """Share of each label that is spread over both classes: with 0.1 the network aims at 0.95 instead of 1."""
    focal_gamma: float = Field(2.0, ge=0.0, le=10.0, title="Focal gamma")
    """With the focal loss: how much less well-classified images count; 0 is cross-entropy."""
    plateau_patience: int = Field(2, ge=0, le=1000, title="Plateau patience")
    """With the plateau schedule: epochs without a lower validation loss before the learning rate falls."""
    gradual_unfreezing_epochs: int = Field(0, ge=0, le=1000, title="Gradual unfreezing: epochs per stage")
    """After the head, unfreeze a pretrained network stage by stage from the output, each for this many epochs (Howard & Ruder
    2018). 0: the whole network at once. Try 1-3 when fine-tuning with few images makes results worse."""
    layerwise_learning_rate_decay: float = Field(1.0, gt=0.0, le=1.0, title="Layer-wise learning rate decay")
    """Factor from the learning rate of each layer of the backbone to that of the layer below it; 1 is the same rate everywhere.
    Try 0.65-0.9 when a pretrained network overfits."""
    cache_backbone_features: bool = Field(True, title="Cache backbone features")
    """While only the head is trained, run the frozen backbone once over every image and train on its stored features: each of
    these epochs then takes seconds. Switch it off to have new augmentations in every epoch."""
    cached_augmentations: int = Field(2, ge=0, le=32, title="Cached augmentations")
    """How many augmented copies of each image the cached features include, besides the image itself. Each costs as much as an
    epoch; at most frozen epochs minus one are made."""
    compile: bool = Field(False, title="Compile the network")
    """torch.compile: takes about a minute before the first step, then steps are faster. Needs a C++ compiler."""
    threads: int = Field(0, ge=0, le=256, title="Threads")
    """Processor threads; 0 leaves one core to the dashboard when it shares the machine."""


class LesionTrainingConfig(Section):
    """What a training makes of lesions whose place is known: boxes, outlines, masks or circles in the manifest."""

    patch_epochs: int = Field(0, ge=0, le=1000, title="Patch epochs")
    """Before the first epoch on whole images, train the network for so many epochs to tell patches with a benign or malignant
    lesion, beside a lesion and of other tissue apart (Shen et al. 2019). 0: no patch phase."""
    patch_manifest: str = Field("", title="Manifest of the patches")
    """Another manifest whose lesions the patches are cut from: of its training images, or of all where it has no splits. Images
    and patients of this run's validation and test set are left out. Empty: this run's own training images."""
    patch_size: int = Field(128, ge=32, le=1024, title="Patch size")
    """Side of a patch in pixels of the prepared image: large enough for a lesion and some tissue around it."""
    localization_weight: float = Field(0.0, ge=0.0, le=100.0, title="Localization loss weight")
    """Weight of a loss that draws the class activation map of malignant training images to their lesions: the share of the
    map's positive values that lies outside (Rao et al. 2023, energy loss). 0: none."""


class TrainingConfig(Section):
    """How the network is trained."""

    epochs: int = Field(15, ge=1, le=1000, title="Epochs")
    """Passes over the training set."""
    freeze_epochs: int = Field(2, ge=0, le=1000, title="Frozen epochs")
    """First epochs, in which only the head of a pretrained network is trained. Not used from scratch."""
    frozen_backbone_fraction: float = Field(0.5, ge=0.0, lt=1.0, title="Frozen backbone fraction")
    """Fraction of a pretrained network's stages, counted from the input, that are never trained. The first stages detect edges
    and textures and work on the largest maps: leaving them frozen makes a step up to twice as fast."""
    batch_size: int = Field(16, ge=1, le=1024, title="Batch size")
    """Images per step; 8-16 fit 6 GB of GPU memory. With two views, breasts per step: about twice the memory."""
    learning_rate: float = Field(1e-3, gt=0.0, le=1.0, title="Learning rate")
    """Peak learning rate of the head, and of the whole network when training from scratch."""
    fine_tune_learning_rate: float = Field(3e-4, gt=0.0, le=1.0, title="Fine-tuning learning rate")
    """Peak learning rate of a pretrained backbone once it is unfrozen."""
    schedule: Literal["one_cycle", "cosine", "plateau", "constant"] = Field("one_cycle", title="Learning rate schedule")
    """How the learning rate changes within each phase, after a warm-up: one_cycle and cosine fall to nearly 0, plateau falls to
    a third whenever the validation loss stops falling, constant does not change."""
    loss: Literal["bce", "focal"] = Field("bce", title="Loss")
    """bce: binary cross-entropy; focal: cross-entropy in which images that are already classified well count less (Lin et al.
    2017)."""
    imbalance: Literal["weights", "sampler", "none"] = Field("weights", title="Class imbalance")
    """weights: the rarer class has a larger weight in the loss, and is drawn more often where batches would lack it; sampler:
    both classes are drawn equally often; none."""
    monitor: Literal[
        "auc",
        "partial_auc",
        "loss",
        "average_precision",
        "sensitivity_at_90_specificity",
        "specificity_at_90_sensitivity",
    ] = Field("auc", title="Monitored metric")
    """Validation metric that selects the best epoch and stops training early; partial_auc covers only sensitivities of 80 % and
    above."""
    patience: int = Field(6, ge=0, le=1000, title="Early stopping patience")
    """Epochs without improvement of the monitored metric before training stops early; 0 never stops early."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", title="Precision")
    """auto: mixed precision on a GPU that supports it; on the processor, bf16 where a few timed steps of this model are clearly
    quicker with it, else fp32."""
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", title="Device")
    """auto, cpu, cuda, cuda:0 or mps."""
    seed: int = Field(0, ge=0, title="Seed")
    """Two runs with the same seed and precision on the same machine give the same weights."""
    lesions: LesionTrainingConfig = LesionTrainingConfig()
    advanced: AdvancedTrainingConfig = AdvancedTrainingConfig()
