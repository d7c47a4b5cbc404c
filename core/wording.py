"""What to say beside every figure of validation: the model and its threshold were chosen by it."""

OPTIMISTIC = "optimistic: it chose the epoch and the threshold"
EPOCHS = (
    "figures of validation are optimistic: they choose the epoch and the threshold. What the model is worth is for the test "
    "set to say"
)
