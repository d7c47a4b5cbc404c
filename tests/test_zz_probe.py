from tests.core.training.conftest import *
from core.training.loop import train
from core.model import small_cnn as S
import pytest
@pytest.mark.parametrize("seed",[0,1,2])
@pytest.mark.parametrize("kw",[{}, {"model__dropout":0},{"_POOLED_SCALE":1.},{"_POOLED_SCALE":1.,"model__dropout":0}])
def test_p(make_run,kw,seed,monkeypatch):
    for k,v in kw.items():
        if k[0]=="_": monkeypatch.setattr(S,k,v)
    run=make_run(**({"training__epochs":12,"training__learning_rate":0.005,"training__patience":0,"training__seed":seed}|{k:v for k,v in kw.items() if k[0]!="_"}))
    ep=[e for e in train(run) if e["type"]=="epoch"]
    print(kw,[round(e["train_loss"],2) for e in ep],[round(e["val"]["auc"],2) for e in ep][-1], run.model_card()["validation"]["auc"])
