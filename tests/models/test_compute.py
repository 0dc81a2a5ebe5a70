import pytest
import torch

from sentinode.errors import InputError
from sentinode.models import choose_compute, computes_bfloat16, deterministic, out_of_memory


def test_auto_is_settled_and_what_is_given_is_kept() -> None:
    chosen = choose_compute("cpu", "auto", 0)
    assert chosen.precision == ("bfloat16" if computes_bfloat16("cpu") else "float32")
    assert chosen.threads == torch.get_num_threads()
    assert choose_compute("cpu", "float32", 3).settings() == {
        "device": "cpu",
        "precision": "float32",
        "threads": 3,
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="device cuda: this PyTorch"):
        choose_compute("cuda", "auto")
    assert choose_compute("auto", "auto").device == "cpu"


def test_settings_come_back_after_the_block() -> None:
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    with deterministic(choose_compute("cpu", "float32", before[0] + 1)):
        assert torch.get_num_threads() == before[0] + 1
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_memory_that_ran_out_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert out_of_memory(caught.value)
    assert out_of_memory(MemoryError())
    for said in ("could not create a primitive", "std::bad_alloc", "CUDA error: out of memory"):
        assert out_of_memory(RuntimeError(said))
    assert out_of_memory(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
