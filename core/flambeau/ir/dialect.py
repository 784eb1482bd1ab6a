"""Dialects: what a C-like kernel language calls things, so that one text serves several of them.

Kernels are written, or rendered, in C with the macros and type names that a dialect's header defines. The type names
are those of compilers (`f32`, `i64`, `c64` for a complex number of two `f32`), because the names of dtypes are taken
in OpenCL C, where `int8` is a vector of eight. `f16` and `bf16` are stored as `u16`; no kernel computes with them.

    KERNEL name(...)      a kernel; FUNCTION name(...) a function that kernels call; GLOBAL, TO_LOCAL qualify pointers
    LOCAL T x[n]          declares an array that the work items of a group share
    ARRAY(T, x)           two parameters: the memory that an array views, and its offset in elements
    OPEN(T, x)            makes `x` the pointer to the first element; the first statement
    FOR_EACH(i, n) {...}  the loop over n items: a chunk of neighbours per work item where a processor's cores run it
                          (CHUNKED), so that the loop becomes vector instructions; else a stride of all work items, so
                          that neighbouring work items read neighbouring memory
    INDEPENDENT           before a loop: its iterations may run at once, though an output may be an operand, too
    VECTORS               there are vectors of 32 bytes: f32x8, f64x4, i32x8, i64x4
    index_t               i32, or i64 where an array of the launch is too large for that (WIDE)
    layout_t, locate      sizes and strides of up to four operands, passed by value; the offset of flat index i
    LANE, LANES           number of this work item in its group, and how many the group has
    ERRORS, FAIL(code)    the last parameters of a kernel that can fail on its data; the first failure is kept
"""

from __future__ import annotations

from dataclasses import dataclass

from flambeau import dtypes as fd
from flambeau.dtypes import dtype

RANK, OPERANDS = 8, 4     # what layout_t holds; dimensions are merged before that matters

C_TYPES: dict[dtype, str] = {
    fd.bool_: "b8", fd.uint8: "u8", fd.int8: "i8", fd.int16: "i16", fd.int32: "i32", fd.int64: "i64",
    fd.uint16: "u16", fd.uint32: "u32", fd.uint64: "u64", fd.float16: "u16", fd.bfloat16: "u16",
    fd.float32: "f32", fd.float64: "f64", fd.complex64: "c64", fd.complex128: "c128"}
MOVED: dict[int, str] = {1: "u8", 2: "u16", 4: "u32", 8: "u64", 16: "u128"}   # the type for bytes that only move
STRUCT_FORMATS = {"b8": "B", "u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q",
                  "i64": "q", "f32": "f", "f64": "d", "c64": "ff", "c128": "dd"}   # how `struct` packs a scalar

_COMMON = """
#ifdef WIDE
typedef i64 index_t;
#else
typedef i32 index_t;
#endif
#define ARRAY(T, x) GLOBAL T *x##_memory, i64 x##_offset
#define OPEN(T, x) GLOBAL T *x = x##_memory + x##_offset
#ifdef CHUNKED
#define FOR_EACH(i, n) for (index_t i##_n = (index_t)(n), i##_chunk = (i##_n + ITEMS - 1) / ITEMS, \\
    i = ITEM * i##_chunk, i##_end = i + i##_chunk < i##_n ? i + i##_chunk : i##_n; i < i##_end; ++i)
#else
#define FOR_EACH(i, n) for (index_t i = ITEM, i##_n = (index_t)(n); i < i##_n; i += ITEMS)
#endif
#ifndef INDEPENDENT
#define INDEPENDENT
#endif
typedef struct { i64 size[8]; i64 stride[4][8]; i64 rank; } layout_t;
FUNCTION i64 locate(const layout_t *layout, int operand, i64 flat) {
    i64 offset = 0;
    for (int d = (int)layout->rank - 1; d >= 0; --d) {
        i64 size = layout->size[d];
        offset += flat % size * layout->stride[operand][d];
        flat /= size;
    }
    return offset;
}
#define ERRORS GLOBAL i32 *errors_, i32 launch_
#define FAIL(code) fail(errors_, launch_, code)
FUNCTION void fail(GLOBAL i32 *errors, i32 launch, i32 code) {
    if (COMPARE_AND_SWAP(errors, 0, launch) == 0) errors[1] = code;
}
"""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One language: its name, the text before every program, and what its compiler is told everywhere."""

    name: str
    header: str
    options: tuple[str, ...] = ()


OPENCL = Dialect("OpenCL C", """
#define KERNEL __kernel void
#define FUNCTION static inline
#define GLOBAL __global
#define LOCAL __local
#define TO_LOCAL __local
#define CONSTANT __constant
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define ITEM ((index_t)get_global_id(0))
#define ITEMS ((index_t)get_global_size(0))
#define LANE ((int)get_local_id(0))
#define LANES ((int)get_local_size(0))
#define COMPARE_AND_SWAP(p, old, new) atomic_cmpxchg((volatile __global int *)(p), old, new)
#ifdef FP64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
typedef double f64;
typedef double2 c128;
#endif
#pragma OPENCL FP_CONTRACT OFF
#ifdef CHUNKED
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#define VECTORS
typedef float8 f32x8; typedef int8 i32x8;
#ifdef FP64
typedef double4 f64x4; typedef long4 i64x4;
#endif
#endif
typedef uchar b8; typedef uchar u8; typedef char i8; typedef ushort u16; typedef short i16;
typedef uint u32; typedef int i32; typedef ulong u64; typedef long i64; typedef ulong2 u128;
typedef float f32; typedef float2 c64;
""" + _COMMON)

CUDA = Dialect("CUDA C", """
#define KERNEL extern "C" __global__ void
#define FUNCTION __device__ static inline
#define GLOBAL
#define LOCAL __shared__
#define TO_LOCAL
#define CONSTANT __constant__ const
#define BARRIER() __syncthreads()
#define ITEM ((index_t)(blockIdx.x * (i64)blockDim.x + threadIdx.x))
#define ITEMS ((index_t)(gridDim.x * (i64)blockDim.x))
#define LANE ((int)threadIdx.x)
#define LANES ((int)blockDim.x)
#define COMPARE_AND_SWAP(p, old, new) atomicCAS((int *)(p), old, new)
#ifndef INFINITY    /* compiled at run time, there are no headers */
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif
#define FP64
typedef unsigned char b8; typedef unsigned char u8; typedef signed char i8; typedef unsigned short u16;
typedef short i16; typedef unsigned int u32; typedef int i32; typedef unsigned long long u64; typedef long long i64;
typedef ulonglong2 u128; typedef float f32; typedef double f64; typedef float2 c64; typedef double2 c128;
""" + _COMMON, ("--std=c++17", "--fmad=false"))    # products and sums round one by one, as they do elsewhere
