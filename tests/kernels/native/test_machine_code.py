"""What is read from machine code, on a listing as cuobjdump prints it."""

import shutil

import pytest

from keras_ab.kernels.native import device_code
from tests.kernels.native import launch_sizes, machine_code
from tests.studies.tables import between

USAGE = "  REG:40 STACK:0 SHARED:2048 LOCAL:8 CONSTANT[0]:4504 TEXTURE:0 SURFACE:0 SAMPLER:0"
LISTING = """
        /*0000*/                   LDC R1, c[0x0][0x28] ;        /* 0x00000a00ff017b82 */
        /*0010*/                   LDG.E.64 R4, desc[UR4][R2.64] ;
        /*0020*/                   IMAD.MOV.U32 R2, RZ, RZ, RZ ;
        /*0030*/               @P0 BRA 0x20 ;
        /*0040*/                   MUFU.RSQ R3, R3 ;
        /*0050*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0060*/                   LDG.E.U16 R8, desc[UR4][R2.64] ;
        /*0070*/                   DFMA R6, R12, R12, R6 ;
        /*0080*/                   MUFU.RCP64H R9, R3 ;
        /*0090*/              @!P0 BRA 0xb0 ;
        /*00a0*/                   DADD R6, R6, R8 ;
        /*00b0*/               @P1 BRA 0x50 ;
        /*00c0*/               @P2 BRA 0x40 ;
        /*00c4*/                   LDG.E.64 R4, desc[UR4][R2.64] ;
        /*00c8*/                   DADD R6, R6, R4 ;
        /*00cc*/               @P1 BRA 0xc4 ;
        /*00d0*/                   DMUL R6, R6, R6 ;
        /*00e0*/                   EXIT ;
        /*00f0*/                   BRA 0xf0 ;
"""


def test_registers_spills_loads_and_doubles_are_read_from_the_innermost_loops():
    found = machine_code.read("k", 90, USAGE, LISTING)
    assert (found.registers, found.spilled_bytes) == (40, 8)
    assert found.load_bits == 128
    assert (found.doubles, found.slow_doubles) == (3, 1)  # not what adds doubles to doubles
    assert found.occupancy == 6 * 256 / 2048


def test_a_loop_with_another_in_it_is_not_innermost():
    loops = machine_code.innermost_loops(machine_code.instructions(LISTING))
    ends = [(loop[0].at, loop[-1].at) for loop in loops]
    assert ends == [(0x20, 0x30), (0x50, 0xB0), (0xC4, 0xCC)]


def test_launches_are_told_by_the_least_and_the_most_blocks():
    told = launch_sizes.table([("a", 3), ("b", 8), ("a", 1)])
    assert told.splitlines()[2:] == ["| a | 1 to 3 |", "| b | 8 |"]


@pytest.mark.parametrize(
    ("operation", "bits"),
    [("LDG.E", 32), ("LDG.E.U16.CONSTANT", 16), ("LDG.E.128.CONSTANT", 128), ("LDS.128", 0)],
)
def test_how_wide_a_load_is(operation, bits):
    assert machine_code.load_bits(operation) == bits


def test_what_compilers_make_of_the_kernels():
    """No spills, half the threads or more, 16 bytes at once along the last axis."""
    if not (shutil.which("cuobjdump") and shutil.which("nvdisasm")):
        pytest.skip("no cuobjdump and nvdisasm on the path: pip install nvidia-cuda-cuobjdump")
    try:
        device_code.nvrtc()
    except device_code.NotAvailable as error:
        pytest.skip(str(error))
    compiled = list(machine_code.all_kernels())
    found = {kernel.name: kernel for kernel in compiled if kernel.capability == 90}
    assert len(found) == 20
    assert {
        name: kernel.spilled_bytes for name, kernel in found.items() if kernel.spilled_bytes
    } == {}
    assert {name for name, kernel in found.items() if kernel.occupancy < 0.5} == set()
    along = ("adam", "sm3_entries", "cross_entropy_forward", "cross_entropy_backward")
    along += tuple(f"adafactor_{phase}" for phase in ("moments", "norm", "apply"))
    assert {found[name].load_bits for name in along} == {128}
    assert {name: kernel.doubles for name, kernel in found.items() if kernel.doubles} == {}
    (said,) = between("machine_code").findall(machine_code.PAGE.read_text(encoding="utf-8"))
    if f"{machine_code.compiled_by()}'s code" in said:
        assert said == f"{machine_code.table(compiled)}\n"
