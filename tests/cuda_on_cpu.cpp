// The kernel for CUDA as a function for the processor: blocks of one thread, one after the other.

#include <algorithm>
#include <cmath>
#include <cstring>

#define __device__
#define __global__
#define __shared__ static

struct Index {
  unsigned int x;
};
struct uint4 {
  unsigned int x, y, z, w;
};

static Index threadIdx = {0}, blockIdx = {0}, blockDim = {1}, gridDim = {1};

static float __int_as_float(int bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static void __syncthreads() {}

static double __shfl_down_sync(unsigned int, double value, int) { return value; }

template <typename Number>
static void atomicAdd(Number* sum, Number value) {
  *sum += value;
}

#define WARP 1
#define SHARED static unsigned long long shared[1 << 17]
#include "cuda_kernel.cu"

typedef void (*Measure)(const Work&);

// By the names that cuda_ops gives to the compiler.
static const struct {
  const char* kind;
  Measure count, with_moments;
} KINDS[] = {
    {"Float32", measure<Float32, false>, measure<Float32, true>},
    {"Float16", measure<Float16, false>, measure<Float16, true>},
    {"BFloat16", measure<BFloat16, false>, measure<BFloat16, true>},
    {"Float8E4M3FN", measure<Float8E4M3FN, false>, measure<Float8E4M3FN, true>},
    {"Float8E5M2", measure<Float8E5M2, false>, measure<Float8E5M2, true>},
    {"Int8", measure<Int8, false>, measure<Int8, true>},
    {"UInt8", measure<UInt8, false>, measure<UInt8, true>},
    {"Int64", measure<Int64, false>, nullptr},
};

extern "C" int launch(const char* kind, int has_moments, int blocks, const Work* work) {
  for (const auto& each : KINDS) {
    if (std::strcmp(each.kind, kind)) continue;
    gridDim.x = blocks;
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
      (has_moments ? each.with_moments : each.count)(*work);
    return 0;
  }
  return 1;
}
