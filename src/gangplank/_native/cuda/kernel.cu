// Counts the values of groups of arrays into slots and sums them up, in one pass over their memory.
//
// A value is taken for an unsigned integer of its bits, and compared with edges among such integers.
// Its first bits name a cell of a table. Of a cell with one edge or none the entry is slot and edge
// in one number, made such that to add the other bits carries into the slot exactly where the value
// exceeds the edge. Of others it is a limit and the slot of what is below the cell, from which a
// search among the edges finds the rest. Where a limit has no room in an entry, it is 0, and all
// cells are searched. Table, edges and what a block counts are in its shared memory. A block counts
// for one group.
//
// NVIDIA's runtime compiler makes a kernel of it for each KIND of values, with HAS_MOMENTS or not,
// and for each SHIFT and FIRST_STEP of a table. A shift known to it takes fewer instructions, and at
// the speed of the memory there is time only for a few for a value of 2 bytes.

// Tests run it elsewhere, by blocks of one thread.
#ifndef WARP
#define WARP 32
#define SHARED extern __shared__ unsigned long long shared[]
#endif

#define INFINITE __int_as_float(0x7f800000)

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef unsigned long long uint64;

const int CHUNK = 1 << 14;  // so many values of an array go to the same block
const int FIELDS = 8;       // of a row, in the order of gangplank._native.moments.Moments

// All that a kernel is given; lengths in values.
struct Work {
  const uint64 *arrays, *sizes;  // where each array is, and how long; those of a group together
  const uint64* ends;            // how many chunks it has, with those of the arrays before
  const uint64* starts;          // at which chunk each block begins, and where the last one ends
  const uint64 *firsts, *groups; // in which array that is, of which group
  const double* origins;         // of each group, from which distances are summed
  const uint64* table;           // entries, edges and, where a search may look, what is no less
  int table_size;                // how many units of 8 bytes it has
  int cell_count, edge_count;
  int shift;                     // by so many bits a value is shifted to name its cell, and
  int first_step;                // of a search, a power of 2, 0 where there is none: as defined
  uint64 limit;                  // from which on an entry leads to a search
  uint64* counts;                // of each slot, for each group, added to
  double* rows;                  // of each block
};

// What the upper 16 bits of a float are whose exponents are smaller than those of float32, with so
// many bits of fraction. `power` makes up for its exponents; subnormals come right as well.
// Magnitudes from `least_nonfinite` on are infinite or NaN.
template <int fraction, uint32 least_nonfinite>
__device__ float widened(uint32 bits, float power) {
  uint32 magnitude = bits & 0x7fff;
  uint32 pattern = (bits & 0x8000) << 16 | magnitude << (23 - fraction);
  if (magnitude >= least_nonfinite) pattern |= 0x7f800000;
  return __int_as_float(pattern) * power;
}

// Numbers that have the bits of a value, an entry of a table and either.
struct Bits8 {
  typedef uint8 Bits;
  typedef uint16 Entry;
  typedef uint32 Word;
};
struct Bits16 {
  typedef uint16 Bits;
  typedef uint16 Entry;
  typedef uint32 Word;
};
struct Bits32 {
  typedef uint32 Bits, Entry, Word;
};
struct Bits64 {
  typedef uint64 Bits, Entry, Word;
};

struct Float32 : Bits32 {
  static __device__ float value(uint32 bits) { return __int_as_float(bits); }
};
struct BFloat16 : Bits16 {
  static __device__ float value(uint32 bits) { return __int_as_float(bits << 16); }
};
struct Float16 : Bits16 {
  static __device__ float value(uint32 bits) { return widened<10, 0x7c00>(bits, 0x1p112f); }
};
struct Float8E5M2 : Bits8 {
  static __device__ float value(uint32 bits) { return Float16::value(bits << 8); }
};
struct Float8E4M3FN : Bits8 {
  static __device__ float value(uint32 bits) { return widened<11, 0x7f00>(bits << 8, 0x1p120f); }
};
struct Int8 : Bits8 {
  static __device__ float value(uint32 bits) { return (signed char)bits; }
};
struct UInt8 : Bits8 {
  static __device__ float value(uint32 bits) { return bits; }
};

struct Moments {
  uint32 finite = 0, nan = 0, infinite = 0, zero = 0;
  double total = 0, squares = 0;
  float minimum = INFINITE, maximum = -INFINITE;

  __device__ void add_finite(float value, double origin) {
    double distance = value - origin;
    finite += 1;
    zero += value == 0;
    total += distance;
    squares += distance * distance;
    minimum = fminf(minimum, value);
    maximum = fmaxf(maximum, value);
  }

  __device__ void add(float value, double origin) {
    if (fabsf(value) < INFINITE)
      add_finite(value, origin);
    else if (value == value)
      infinite += 1;
    else
      nan += 1;
  }

  // Seldom is one of several not finite.
  template <int n>
  __device__ void add(const float (&values)[n], double origin) {
    bool are_finite = true;
    for (float value : values) are_finite &= fabsf(value) < INFINITE;
    if (are_finite)
      for (float value : values) add_finite(value, origin);
    else
      for (float value : values) add(value, origin);
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
  typedef typename Kind::Word Word;
  const Entry* cells = (const Entry*)shared;
  const Bits* edges = (const Bits*)(cells + work.cell_count);
  uint32* slots = (uint32*)(shared + work.table_size);
  for (int i = threadIdx.x; i < work.table_size; i += blockDim.x) shared[i] = work.table[i];
  for (int i = threadIdx.x; i <= work.edge_count; i += blockDim.x) slots[i] = 0;
  __syncthreads();

  const uint64 group = work.groups[blockIdx.x];
  const Word others = ((Word)1 << work.shift) - 1;
  auto count = [&](Word bits) {
    Word entry = cells[bits >> work.shift];
    int slot;
    if (work.first_step && entry >= (Word)work.limit) {
      slot = entry - (Word)work.limit;
      for (int step = work.first_step; step; step /= 2)
        if (edges[slot + step - 1] < bits) slot += step;
    } else {
      slot = (entry + (bits & others)) >> work.shift;
    }
    atomicAdd(&slots[slot], 1u);
  };
  Moments moments;
  double origin = has_moments ? work.origins[group] : 0;

  const uint64 last = work.starts[blockIdx.x + 1];
  uint64 chunk = work.starts[blockIdx.x];
  for (uint64 array = work.firsts[blockIdx.x]; chunk < last; array++) {
    uint64 before = array ? work.ends[array - 1] : 0;
    uint64 start = (chunk - before) * CHUNK;
    chunk = work.ends[array] < last ? work.ends[array] : last;
    uint64 stop = (chunk - before) * CHUNK;
    uint64 size = (stop < work.sizes[array] ? stop : work.sizes[array]) - start;
    const Bits* values = (const Bits*)work.arrays[array] + start;

    const int width = sizeof(uint4) / sizeof(Bits), of_word = sizeof(Word) / sizeof(Bits);
    const int together = width < 4 ? width : 4;
    uint64 lines = (uint64)values % sizeof(uint4) ? 0 : size / width;
    for (uint64 i = threadIdx.x; i < lines; i += blockDim.x) {
      const uint4 line = ((const uint4*)values)[i];
      const Word* words = (const Word*)&line;
#pragma unroll
      for (int first = 0; first < width; first += together) {
        float some[together];
#pragma unroll
        for (int j = 0; j < together; j++) {
          int at = first + j;
          Bits bits = words[at / of_word] >> (at % of_word * 8 * sizeof(Bits));
          count(bits);
          if constexpr (has_moments) some[j] = Kind::value(bits);
        }
        if constexpr (has_moments) moments.add(some, origin);
      }
    }
    for (uint64 i = lines * width + threadIdx.x; i < size; i += blockDim.x) {
      count(values[i]);
      if constexpr (has_moments) moments.add(Kind::value(values[i]), origin);
    }
  }

  __syncthreads();
  for (int i = threadIdx.x; i <= work.edge_count; i += blockDim.x)
    if (slots[i]) atomicAdd(&work.counts[group * (work.edge_count + 1) + i], (uint64)slots[i]);
  if constexpr (has_moments) write_row(moments, work.rows + blockIdx.x * FIELDS);
}

#ifdef KIND
// Two blocks run at the same time on a multiprocessor of 2,048 threads, which leaves 32 registers a
// thread: with 40, this took 1.3 times as long with moments on an H200. Elsewhere the 2 is ignored.
extern "C" __global__ __launch_bounds__(1024, 2) void kernel(Work work) {
  work.shift = SHIFT;
  work.first_step = FIRST_STEP;
  measure<KIND, HAS_MOMENTS>(work);
}
#endif
