// The kernel for CUDA as a function for the processor: blocks of one thread, one after the other.
// What threads of a block do together, such as to join their moments, only a GPU shows.

#include <algorithm>
#include <cmath>
#include <cstring>

#define __device__
#define __shared__ static

struct Index {
  unsigned int x;
};
struct alignas(16) uint4 {
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
#include "kernel.cu"

typedef void (*Measure)(const Work&);

// By the names that `gangplank._native.cuda.kernel` gives to the compiler.
static const struct {
  const char* kind;
  Measure measure;
} COUNTING[] = {
    {"Bits8", measure<Bits8, false>},
    {"Bits16", measure<Bits16, false>},
    {"Bits32", measure<Bits32, false>},
    {"Bits64", measure<Bits64, false>},
}, WITH_MOMENTS[] = {
    {"Float32", measure<Float32, true>},
    {"Float16", measure<Float16, true>},
    {"BFloat16", measure<BFloat16, true>},
    {"Float8E4M3FN", measure<Float8E4M3FN, true>},
    {"Float8E5M2", measure<Float8E5M2, true>},
    {"Int8", measure<Int8, true>},
    {"UInt8", measure<UInt8, true>},
};

template <typename Kinds>
static int run(const Kinds& kinds, const char* kind, const Work& work) {
  for (const auto& each : kinds)
    if (!std::strcmp(each.kind, kind)) {
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) each.measure(work);
      return 0;
    }
  return 1;
}

extern "C" int launch(const char* kind, int has_moments, int blocks, const Work* work) {
  gridDim.x = blocks;
  return has_moments ? run(WITH_MOMENTS, kind, *work) : run(COUNTING, kind, *work);
}
