// Counts the values of arrays into slots and sums them up, in one pass over their memory.
//
// A value is taken for a signed integer of its bits, and compared with edges among such integers.
// Its first bits name a cell of a table. Where no cell has more than one edge, an entry is slot and
// edge in one number, made such that to add the other bits carries into the slot exactly where the
// value exceeds the edge. Else it is the slot of what is below the cell, and a search among the
// edges finds the rest. Table, edges and what a block counts are in its shared memory.
//
// NVIDIA's runtime compiler makes a kernel of it for each KIND of values, with HAS_MOMENTS or not.

// Tests run it elsewhere, by blocks of one thread.
#ifndef WARP
#define WARP 32
#define SHARED extern __shared__ unsigned long long shared[]
#endif

#define INFINITE __int_as_float(0x7f800000)

typedef signed char int8;
typedef unsigned long long uint64;

const int CHUNK = 1 << 14;  // so many values of an array a block takes at once
const int FIELDS = 8;       // of a row, in the order of gangplank._native.moments.Moments

// All that a kernel is given; lengths in values.
struct Work {
  const uint64 *arrays, *sizes;  // where each array is, and how long
  const uint64* ends;            // how many chunks it has, with those of the arrays before
  uint64 chunks;                 // of all arrays
  const void* edges;             // ascending
  int edge_count, padded_count;  // and with what no value exceeds, up to where a search may look
  int first_step;                // of a search, a power of 2; 0 where there is none
  const void* cells;             // the entries
  int cell_count, shift;         // and by how many bits a value is shifted to name its cell
  double origin;                 // from which distances are summed
  uint64* counts;                // of each slot, added to
  double* rows;                  // of each block
};

// What the upper bits of `bits` are as a float of so many bits of fraction, whose exponents are
// smaller than those of float32: `power` makes up for that, and subnormals come right as well.
template <int fraction>
__device__ float widened(short bits, float power) {
  float magnitude = __int_as_float((bits & 0x7fff) << (23 - fraction)) * power;
  return bits < 0 ? -magnitude : magnitude;
}

struct Bits8 {
  typedef int8 Bits;
  typedef unsigned short Entry;
};
struct Bits16 {
  typedef short Bits;
  typedef unsigned short Entry;
};
struct Bits32 {
  typedef int Bits;
  typedef unsigned int Entry;
};
struct Bits64 {
  typedef long long Bits;
  typedef uint64 Entry;
};

struct Float32 : Bits32 {
  static __device__ float value(int bits) { return __int_as_float(bits); }
};
struct BFloat16 : Bits16 {
  static __device__ float value(short bits) { return __int_as_float(bits << 16); }
};
struct Float16 : Bits16 {
  static __device__ float value(short bits) {
    bool is_finite = (bits & 0x7c00) != 0x7c00;
    return is_finite ? widened<10>(bits, 0x1p112f) : __int_as_float(0x7f800000 | (bits & 0x3ff));
  }
};
struct Float8E5M2 : Bits8 {
  static __device__ float value(int8 bits) { return Float16::value(bits * 256); }
};
struct Float8E4M3FN : Bits8 {
  static __device__ float value(int8 bits) {
    bool is_nan = (bits & 0x7f) == 0x7f;
    return is_nan ? __int_as_float(0x7fffffff) : widened<11>(bits * 256, 0x1p120f);
  }
};
struct Int8 : Bits8 {
  static __device__ float value(int8 bits) { return bits; }
};
struct UInt8 : Bits8 {
  static __device__ float value(int8 bits) { return (unsigned char)bits; }
};

struct Moments {
  unsigned int finite = 0, nan = 0, infinite = 0, zero = 0;
  double total = 0, squares = 0;
  float minimum = INFINITE, maximum = -INFINITE;

  __device__ void add(float value, double origin) {
    if (fabsf(value) < INFINITE) {
      double distance = value - origin;
      finite += 1;
      zero += value == 0;
      total += distance;
      squares += distance * distance;
      minimum = fminf(minimum, value);
      maximum = fmaxf(maximum, value);
    } else if (value == value) {
      infinite += 1;
    } else {
      nan += 1;
    }
  }
};

__device__ double joined(int field, double one, double other) {
  return field < 6 ? one + other : field == 6 ? fmin(one, other) : fmax(one, other);
}

// Joins the moments of all threads of the block.
__device__ void write_row(const Moments& m, double* row) {
  __shared__ double of_warps[1024 / WARP][FIELDS];
  const double mine[FIELDS] = {(double)m.finite, (double)m.nan, (double)m.infinite, (double)m.zero,
                               m.total,          m.squares,     m.minimum,          m.maximum};
#pragma unroll
  for (int field = 0; field < FIELDS; field++) {
    double value = mine[field];
    for (int away = WARP / 2; away; away /= 2)
      value = joined(field, value, __shfl_down_sync(~0u, value, away));
    if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP][field] = value;
  }
  __syncthreads();
  for (int field = threadIdx.x; field < FIELDS; field += blockDim.x) {
    double value = of_warps[0][field];
    for (int warp = 1; warp < blockDim.x / WARP; warp++)
      value = joined(field, value, of_warps[warp][field]);
    row[field] = value;
  }
}

SHARED;

template <typename Kind, bool has_moments>
__device__ void measure(const Work& work) {
  typedef typename Kind::Bits Bits;
  typedef typename Kind::Entry Entry;
  Entry* cells = (Entry*)shared;
  Bits* edges = (Bits*)(cells + work.cell_count);
  unsigned int* slots = (unsigned int*)(edges + work.padded_count);
  for (int i = threadIdx.x; i < work.cell_count; i += blockDim.x)
    cells[i] = ((const Entry*)work.cells)[i];
  for (int i = threadIdx.x; i < work.padded_count; i += blockDim.x)
    edges[i] = ((const Bits*)work.edges)[i];
  for (int i = threadIdx.x; i <= work.edge_count; i += blockDim.x) slots[i] = 0;
  __syncthreads();

  const Bits others = ((Bits)1 << work.shift) - 1;
  Moments moments;
  auto add = [&](Bits bits) {
    Entry entry = cells[(int)(bits >> work.shift) + work.cell_count / 2];
    int slot = entry;
    if (!work.first_step) slot = (Entry)(entry + (Entry)(bits & others)) >> work.shift;
    for (int step = work.first_step; step; step /= 2)
      if (edges[slot + step - 1] < bits) slot += step;
    atomicAdd(&slots[slot], 1u);
    if constexpr (has_moments) moments.add(Kind::value(bits), work.origin);
  };

  int array = 0;
  for (uint64 chunk = blockIdx.x; chunk < work.chunks; chunk += gridDim.x) {
    while (chunk >= work.ends[array]) array++;
    uint64 start = (chunk - (array ? work.ends[array - 1] : 0)) * CHUNK;
    const Bits* values = (const Bits*)work.arrays[array] + start;
    uint64 left = work.sizes[array] - start;
    int size = left < CHUNK ? left : CHUNK;
    const int width = sizeof(uint4) / sizeof(Bits);
    int lines = (uint64)values % sizeof(uint4) ? 0 : size / width;
    for (int i = threadIdx.x; i < lines; i += blockDim.x) {
      uint4 line = ((const uint4*)values)[i];
#pragma unroll
      for (int j = 0; j < width; j++) add(((const Bits*)&line)[j]);
    }
    for (int i = lines * width + threadIdx.x; i < size; i += blockDim.x) add(values[i]);
  }

  __syncthreads();
  for (int i = threadIdx.x; i <= work.edge_count; i += blockDim.x)
    if (slots[i]) atomicAdd(&work.counts[i], (uint64)slots[i]);
  if constexpr (has_moments) write_row(moments, work.rows + blockIdx.x * FIELDS);
}

#ifdef KIND
extern "C" __global__ __launch_bounds__(1024) void kernel(Work work) {
  measure<KIND, HAS_MOMENTS>(work);
}
#endif
