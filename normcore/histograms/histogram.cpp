// Counts a tensor's values in bins that are the values' leading bits, in one pass over memory. native.py calls it.
//
// Each thread counts into tables of its own, so no increment is atomic, and every count is exact. Sums are computed for
// blocks of a fixed length and added up in the order of the blocks, so they do not depend on the number of threads.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace {

constexpr int MANTISSA_BITS = 5;
constexpr int SHIFT = 23 - MANTISSA_BITS;
constexpr int BIN_COUNT = 1 << (9 + MANTISSA_BITS);
constexpr int64_t BLOCK = 4096;  // values: 16 KiB, so that the second pass over a block reads it from the L1 cache
constexpr int TABLES = 2;        // values alternate between them: two increments of one bin in a row would wait
constexpr int SPARE = 16;        // bins after each table between which zeros alternate, for the same reason
constexpr int EXPONENT = 0xFF << MANTISSA_BITS;  // all its bits set: an infinity or a NaN
constexpr int LINE = 32;  // bins that are checked together when the counts are collected; most are empty
constexpr int ROOM = BIN_COUNT + SPARE;

constexpr uint32_t SIGN = 0x80000000u, INFINITY_BITS = 0x7F800000u, POSITIVE_ZERO = 0, NEGATIVE_ZERO = SIGN;

struct Block {
    double total, total_of_squares;
    float minimum, maximum;
};

struct Special {
    int64_t positive_zeros = 0, negative_zeros = 0, nans = 0, positive_infinities = 0, negative_infinities = 0;
};

struct Counts {
    std::vector<uint32_t> table = std::vector<uint32_t>(TABLES * ROOM);
    Special special;
};

struct Rows {
    const float* x;
    int64_t inner, outer_stride, inner_stride, length;

    // Returns the address of the n values from index start: their own if they are contiguous, else that of a copy.
    const float* at(int64_t start, int64_t n, float* gathered) const {
        int64_t row = start / length, column = start % length;
        const float* from = x + (row / inner) * outer_stride + (row % inner) * inner_stride + column;
        if (column + n <= length) return from;
        for (int64_t copied = 0; copied < n; ++row, column = 0) {
            const int64_t piece = std::min(n - copied, length - column);
            from = x + (row / inner) * outer_stride + (row % inner) * inner_stride + column;
            std::memcpy(gathered + copied, from, piece * sizeof(float));
            copied += piece;
        }
        return gathered;
    }
};

// One loop for each kind of arithmetic: then each is vectorized, and three passes over a block cost less than a mixed one.
Block reduce(const float* x, int64_t n, Special& special) {
    const uint32_t* bits = reinterpret_cast<const uint32_t*>(x);
    int32_t positive_zeros = 0, negative_zeros = 0, unusual = 0;
#pragma omp simd reduction(+ : positive_zeros, negative_zeros, unusual)
    for (int64_t i = 0; i < n; ++i) {
        positive_zeros += bits[i] == POSITIVE_ZERO;
        negative_zeros += bits[i] == NEGATIVE_ZERO;
        unusual += (bits[i] & INFINITY_BITS) == INFINITY_BITS;
    }
    special.positive_zeros += positive_zeros;
    special.negative_zeros += negative_zeros;

    float usual[BLOCK];
    if (unusual) {
        int64_t finite = 0;
        for (int64_t i = 0; i < n; ++i) {
            special.nans += (bits[i] & ~SIGN) > INFINITY_BITS;
            special.positive_infinities += bits[i] == INFINITY_BITS;
            special.negative_infinities += bits[i] == (INFINITY_BITS | SIGN);
            if ((bits[i] & INFINITY_BITS) != INFINITY_BITS) usual[finite++] = x[i];
        }
        x = usual, n = finite;
    }
    float least = std::numeric_limits<float>::infinity(), greatest = -least;
#pragma omp simd reduction(min : least) reduction(max : greatest)
    for (int64_t i = 0; i < n; ++i) {
        least = x[i] < least ? x[i] : least;
        greatest = x[i] > greatest ? x[i] : greatest;
    }
    double total = 0, squares = 0;
#pragma omp simd reduction(+ : total, squares)
    for (int64_t i = 0; i < n; ++i) {
        const double value = x[i];
        total += value;
        squares += value * value;
    }
    return {total, squares, least, greatest};
}

void count(const float* x, int64_t n, uint32_t* tables) {
    const uint32_t* bits = reinterpret_cast<const uint32_t*>(x);
    uint16_t bin_index[BLOCK];
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const uint32_t zero = BIN_COUNT + (i & (SPARE - 1));
        bin_index[i] = static_cast<uint16_t>((bits[i] << 1) ? bits[i] >> SHIFT : zero);
    }
    int64_t i = 0;
    for (; i + TABLES <= n; i += TABLES)
        for (int t = 0; t < TABLES; ++t) ++tables[t * ROOM + bin_index[i + t]];
    for (; i < n; ++i) ++tables[bin_index[i]];
}

}  // namespace

// The tensor is outer * inner rows of `length` contiguous values; the rows are outer_stride and inner_stride apart. Zeros
// and values that are not finite are counted in special and in no bin. bin_index and counts hold up to BIN_COUNT entries
// each. sums are the total and the total of squares. extremes are the minimum and maximum, +inf and -inf if no value is
// finite. Returns the number of bins that are not empty.
extern "C" int64_t histogram(
    const float* x, int64_t outer, int64_t outer_stride, int64_t inner, int64_t inner_stride, int64_t length, int threads,
    uint16_t* bin_index, int64_t* counts, double* sums, float* extremes, int64_t* special) {
    const Rows rows{x, inner, outer_stride, inner_stride, length};
    const int64_t n = outer * inner * length, blocks = (n + BLOCK - 1) / BLOCK;
    threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, blocks / 8)));
    std::vector<Counts> of(threads);
    std::vector<Block> block(blocks);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) {
        Counts& own = of[thread];
        float gathered[BLOCK];
        const int64_t end = blocks * (thread + 1) / threads;
        for (int64_t b = blocks * thread / threads; b < end; ++b) {
            const int64_t start = b * BLOCK, size = std::min(BLOCK, n - start);
            const float* values = rows.at(start, size, gathered);
            count(values, size, own.table.data());
            block[b] = reduce(values, size, own.special);
        }
    }

    sums[0] = sums[1] = 0;
    extremes[0] = std::numeric_limits<float>::infinity();
    extremes[1] = -extremes[0];
    for (const Block& b : block) {
        sums[0] += b.total;
        sums[1] += b.total_of_squares;
        extremes[0] = std::min(extremes[0], b.minimum);
        extremes[1] = std::max(extremes[1], b.maximum);
    }
    std::fill(special, special + 5, 0);
    for (const Counts& each : of) {
        const Special& s = each.special;
        special[0] += s.positive_zeros, special[1] += s.negative_zeros, special[2] += s.nans;
        special[3] += s.positive_infinities, special[4] += s.negative_infinities;
    }
    int64_t used = 0;
    for (int start = 0; start < BIN_COUNT; start += LINE) {
        uint32_t line[LINE] = {}, any = 0;
        for (const Counts& each : of)
            for (int t = 0; t < TABLES; ++t) {
                const uint32_t* const counted = each.table.data() + t * ROOM + start;
                for (int i = 0; i < LINE; ++i) line[i] += counted[i];
            }
        for (int i = 0; i < LINE; ++i) any |= line[i];
        if (any && (start & EXPONENT) != EXPONENT)
            for (int i = 0; i < LINE; ++i)
                if (line[i]) {
                    bin_index[used] = static_cast<uint16_t>(start + i);
                    counts[used++] = line[i];
                }
    }
    return used;
}
