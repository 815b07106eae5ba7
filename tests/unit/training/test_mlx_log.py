"""The samples are the output of mlx-lm 0.30.6 and 0.32.2 for the same training of nano, 12 batches of 4 rows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.training.mlx_log import parse

OLD = """\
Loading configuration file c.yaml
Loading pretrained model
Loading datasets
Training
Trainable parameters: 1.060% (0.039M/3.673M)
Starting training..., iters: 12
Iter 1: Val loss 4.439, Val took 1.286s
Iter 4: Train loss 2.879, Learning Rate 1.000e-03, It/sec 1.053, Tokens/sec 85.317, Trained Tokens 324, Peak mem \
0.030 GB
Iter 6: Val loss 0.607, Val took 1.636s
Iter 6: Saved adapter weights to adapters/adapters.safetensors and adapters/0000006_adapters.safetensors.
Iter 8: Train loss 0.704, Learning Rate 1.000e-03, It/sec 0.760, Tokens/sec 60.072, Trained Tokens 640, Peak mem \
0.030 GB
Iter 12: Val loss 0.485, Val took 1.187s
Iter 12: Train loss 0.535, Learning Rate 1.000e-03, It/sec 1.024, Tokens/sec 83.960, Trained Tokens 968, Peak mem \
0.030 GB
Iter 12: Saved adapter weights to adapters/adapters.safetensors and adapters/0000012_adapters.safetensors.
Saved final weights to adapters/adapters.safetensors.
Testing
Test loss 0.469, Test ppl 1.598.
"""
NEW = """\
Loading configuration file c.yaml
Loading pretrained model
Training
\x1b[34m╭─\x1b[0m\x1b[34m \x1b[0m\x1b[1;35mmlx_lm.lora\x1b[0m\
\x1b[34m \x1b[0m\x1b[34m────\x1b[0m\x1b[34m─╮\x1b[0m
\x1b[34m│\x1b[0m    \x1b[39mmodel        \x1b[0m   \x1b[1mmodels/nano\x1b[0m   \x1b[34m│\x1b[0m
\x1b[34m│\x1b[0m    \x1b[39mtype         \x1b[0m   \x1b[1mlora · 2 layers · rank 4\x1b[0m   \x1b[34m│\x1b[0m
\x1b[34m│\x1b[0m    \x1b[39mbatch · iters\x1b[0m   \x1b[1m4 · 12\x1b[0m   \x1b[34m│\x1b[0m
\x1b[34m╰────╯\x1b[0m
Trainable parameters: 1.060% (0.039M/3.673M)
  \x1b[1miter   train_loss     tok/s     tokens\x1b[0m
  \x1b[38;5;244m   1\x1b[0m    \x1b[1;35mval\x1b[0m \x1b[1m4.439\x1b[0m    \x1b[38;5;244m0.81s\x1b[0m
  \x1b[38;5;244m   4\x1b[0m    \x1b[1;32m2.879 ▼\x1b[0m    \x1b[1m   31\x1b[0m    \x1b[38;5;244m  0.3k\x1b[0m
  \x1b[38;5;244m   6\x1b[0m    \x1b[1;35mval\x1b[0m \x1b[1m0.607\x1b[0m    \x1b[38;5;244m0.75s\x1b[0m
  \x1b[1;32msave\x1b[0m  \x1b[38;5;244m0000006_adapters.safetensors\x1b[0m
  \x1b[38;5;244m   8\x1b[0m    \x1b[1;32m0.704 ▼\x1b[0m    \x1b[1m  130\x1b[0m    \x1b[38;5;244m  0.6k\x1b[0m
  \x1b[38;5;244m  12\x1b[0m    \x1b[1;35mval\x1b[0m \x1b[1m0.485\x1b[0m    \x1b[38;5;244m0.93s\x1b[0m
  \x1b[38;5;244m  12\x1b[0m    \x1b[1;32m0.535 ▼\x1b[0m    \x1b[1m  130\x1b[0m    \x1b[38;5;244m  1.0k\x1b[0m
  \x1b[1;32msave\x1b[0m  \x1b[38;5;244m0000012_adapters.safetensors\x1b[0m
\x1b[1;34mtrain\x1b[0m \x1b[34m████\x1b[0m \x1b[1;34m100%\x1b[0m \x1b[38;5;244m·\x1b[0m \x1b[1;34m   12\x1b[0m\
\x1b[38;5;244m/12\x1b[0m
"""
LOSSES = [(0, 4.439), (4, 2.879), (5, 0.607), (8, 0.704), (11, 0.485), (12, 0.535)]
TAGS = ["valid", "train", "valid", "train", "valid", "train"]


@pytest.mark.parametrize("text", [OLD, NEW, NEW.replace("\n", "\r\n")])
def test_old_and_new_logs_of_one_training_give_the_same_losses(text):
    train_and_valid = [event for event in parse(text) if event["event"] != "test"]
    assert [(event["iteration"], event["loss"]) for event in train_and_valid] == LOSSES
    assert [event["event"] for event in train_and_valid] == TAGS


def test_the_old_log_has_learning_rates_and_a_test_loss_the_new_one_has_neither():
    old, new = list(parse(OLD)), list(parse(NEW))
    assert [event["tokens"] for event in old if event["event"] == "train"] == [324, 640, 968]
    assert old[1]["learning_rate"] == 1e-3
    assert old[-1] == {"event": "test", "loss": 0.469}
    assert [event["tokens"] for event in new if event["event"] == "train"] == [300, 600, 1000]
    assert "learning_rate" not in new[1]


def test_a_truncated_log_and_a_log_with_a_progress_bar_are_parsed():
    assert [event["loss"] for event in parse(OLD[: OLD.index("Iter 6: Saved")])] == [4.439, 2.879, 0.607]
    bar = "Calculating loss...: 50%|#####     | 1/2 [00:00<00:00]\r"
    assert list(parse(OLD.replace("Iter 6: Val", bar + "Iter 6: Val"))) == list(parse(OLD))
    assert list(parse("Iter 1: Train loss 2.0, Learning Rate 1.000e-05, It/sec 0.5")) == [
        {"event": "train", "iteration": 1, "loss": 2.0, "learning_rate": 1e-5}
    ]


def test_large_numbers_and_losses_that_are_not_finite():
    [table] = parse("  1200    nan ▲    12,345    1234.5k")
    assert table == {"event": "train", "iteration": 1200, "loss": None, "tokens": 1234500}
    assert json.dumps(table, allow_nan=False)
    [line] = parse("Iter 7: Train loss nan, Learning Rate 1.000e-05, It/sec 1.0, Tokens/sec 9.0, Trained Tokens 12")
    assert (line["loss"], line["tokens"]) == (None, 12)


@given(st.text())
def test_any_text_is_parsed_without_an_error(text):
    assert all(event["event"] in ("train", "valid", "test") for event in parse(text))
