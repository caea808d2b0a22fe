"""Number formats: what the machine has is what is used, and what it lacks is not emulated in silence."""

from __future__ import annotations

import pytest
import torch

from matinee.core.errors import SettingsError
from matinee.model.precision import choose_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def processor(monkeypatch):
    def have(**capabilities):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "some", **capabilities})

    return have


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_bf16_is_taken_where_the_processor_has_it(processor, name):
    processor(**{name: True})
    assert choose_precision("auto", CPU) == "bf16"
    assert choose_precision("bf16", CPU) == "bf16"
    assert choose_precision("fp32", CPU) == "fp32"


def test_on_arm_it_is_taken_only_where_it_is_asked_for(processor):
    processor(bf16=True, neon=True)
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"


def test_a_processor_without_it_is_named(processor):
    processor(avx2=True, avx512_bf16=False)
    assert choose_precision("auto", CPU) == "fp32"
    with pytest.raises(
        SettingsError, match="--precision bf16: .*neither AVX512-BF16 nor AMX.* --precision auto or fp32"
    ):
        choose_precision("bf16", CPU)


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_is_known_by_its_capability(monkeypatch, capability, native):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", GPU) == ("bf16" if native else "fp32")
    if native:
        assert choose_precision("bf16", GPU) == "bf16"
    else:
        with pytest.raises(SettingsError, match=r"compute capability 7\.5"):
            choose_precision("bf16", GPU)
