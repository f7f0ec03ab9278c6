// Counts a tensor's values in bins that are the values' leading bits, in one pass over memory. native.py calls it.
//
// Each thread counts into tables of its own, so no increment is atomic, and every count is exact. Sums are computed for
// blocks of a fixed length and combined in the order of the blocks, so they do not depend on the number of threads.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace {

constexpr int MANTISSA_BITS = 10;
constexpr int SHIFT = 23 - MANTISSA_BITS;
constexpr int OCTAVE = 1 << MANTISSA_BITS;  // bins of one octave: of one sign and exponent
constexpr int SIGN_BIN = 256 * OCTAVE;      // the first bin of negative values
constexpr int BIN_COUNT = 2 * SIGN_BIN;
constexpr int64_t BLOCK = 4096;  // values: 16 KiB, so that the later passes over a block read it from the L1 cache
constexpr int SPARE = 16;        // bins after the table between which zeros alternate: two increments of one would wait
constexpr int FLOATS = 16;       // in a line of the cache
constexpr int LINE = 32;  // bins that are checked together when the counts are collected; many are empty

constexpr uint32_t SIGN = 0x80000000u, INFINITY_BITS = 0x7F800000u, POSITIVE_ZERO = 0, NEGATIVE_ZERO = SIGN;

// Sums over the finite values of a block. Their mean is the exact sum of rounded_mean and rest.
struct Block {
    int64_t finite;
    double total, rounded_mean, rest, squared_deviations;
    float minimum, maximum;
};

struct Special {
    int64_t positive_zeros = 0, negative_zeros = 0, nans = 0, positive_infinities = 0, negative_infinities = 0;
};

// The bits of the smallest and the largest magnitude among the values that are not zero.
struct Magnitudes {
    uint32_t least = std::numeric_limits<uint32_t>::max(), greatest = 0;

    void include(const Magnitudes& other) {
        least = std::min(least, other.least);
        greatest = std::max(greatest, other.greatest);
    }
};

struct Counts {
    uint32_t* table;
    Special special;
    Magnitudes magnitudes;
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

bool is_finite(uint32_t bits) { return (bits & INFINITY_BITS) != INFINITY_BITS; }

// Returns the thread's own table. It holds zeros between two calls, because clearing all bins would take longer than counting
// a small tensor does.
uint32_t* table_of_this_thread() {
    static thread_local std::vector<uint32_t> table(BIN_COUNT + SPARE);
    return table.data();
}

// One loop for integers and two for sums: then each is vectorized, and three passes over a block cost less than a mixed one.
Block reduce(const float* x, int64_t n, Special& special, Magnitudes& magnitudes) {
    const uint32_t* bits = reinterpret_cast<const uint32_t*>(x);
    int32_t positive_zeros = 0, negative_zeros = 0;
    uint32_t least_magnitude = std::numeric_limits<uint32_t>::max(), greatest_magnitude = 0;
#pragma omp simd reduction(+ : positive_zeros, negative_zeros) reduction(min : least_magnitude) reduction(max : greatest_magnitude)
    for (int64_t i = 0; i < n; ++i) {
        positive_zeros += bits[i] == POSITIVE_ZERO;
        negative_zeros += bits[i] == NEGATIVE_ZERO;
        const uint32_t magnitude = bits[i] & ~SIGN;
        greatest_magnitude = std::max(greatest_magnitude, magnitude);
        least_magnitude = std::min(least_magnitude, magnitude - 1);  // a zero wraps to the largest integer
    }
    special.positive_zeros += positive_zeros;
    special.negative_zeros += negative_zeros;
    magnitudes.include({least_magnitude, greatest_magnitude});

    float usual[BLOCK];
    if (!is_finite(greatest_magnitude)) {
        int64_t finite = 0;
        for (int64_t i = 0; i < n; ++i) {
            special.nans += (bits[i] & ~SIGN) > INFINITY_BITS;
            special.positive_infinities += bits[i] == INFINITY_BITS;
            special.negative_infinities += bits[i] == (INFINITY_BITS | SIGN);
            if (is_finite(bits[i])) usual[finite++] = x[i];
        }
        x = usual, n = finite;
    }
    // Two passes: the sums of values that are far from 0 would lose the digits in which they differ. The mean is rounded,
    // so the differences from it have a mean of their own. The two halves of the block are added side by side, because an
    // addition waits for the one before it in its sum.
    float least = std::numeric_limits<float>::infinity(), greatest = -least;
    double total_a = 0, total_b = n % 2 ? x[n - 1] : 0;
    const float *a = x, *b = x + n / 2, *last = x + n - 1;
#pragma omp simd reduction(min : least) reduction(max : greatest) reduction(+ : total_a, total_b)
    for (int64_t i = 0; i < n / 2; ++i) {
        const float lower = a[i] < b[i] ? a[i] : b[i], upper = a[i] > b[i] ? a[i] : b[i];
        least = lower < least ? lower : least;
        greatest = upper > greatest ? upper : greatest;
        total_a += a[i], total_b += b[i];
    }
    if (n % 2) least = std::min(least, *last), greatest = std::max(greatest, *last);
    const double total = total_a + total_b, rounded = n ? total / n : 0;
    double rest_a = 0, rest_b = n % 2 ? *last - rounded : 0, squares_a = 0, squares_b = rest_b * rest_b;
#pragma omp simd reduction(+ : rest_a, rest_b, squares_a, squares_b)
    for (int64_t i = 0; i < n / 2; ++i) {
        const double u = a[i] - rounded, v = b[i] - rounded;
        rest_a += u, rest_b += v;
        squares_a += u * u, squares_b += v * v;
    }
    const double rest = n ? (rest_a + rest_b) / n : 0, squares = squares_a + squares_b - n * rest * rest;
    return {n, total, rounded, rest, std::max(squares, 0.0), least, greatest};
}

// Counts n values, and requests the n values after them from memory: those are the next block's, whose arrival the
// processor would wait for otherwise.
void count(const float* x, int64_t n, uint32_t* table) {
    const uint32_t* bits = reinterpret_cast<const uint32_t*>(x);
    uint32_t bin_index[BLOCK];
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const uint32_t zero = BIN_COUNT + (i & (SPARE - 1));
        bin_index[i] = (bits[i] << 1) ? bits[i] >> SHIFT : zero;
    }
    int64_t i = 0;
    for (; i + FLOATS <= n; i += FLOATS) {
        __builtin_prefetch(x + n + i);
        for (int k = 0; k < FLOATS; ++k) ++table[bin_index[i + k]];
    }
    for (; i < n; ++i) ++table[bin_index[i]];
}

// Writes the mean of the whole tensor, the sum of the squared deviations from it, and the extremes. Between the blocks it is
// Chan's formula (Chan, Golub and LeVeque 1983) on the deviations of their means from one of these means.
void combine(const std::vector<Block>& blocks, double* moments, float* extremes) {
    int64_t finite = 0;
    long double total = 0, deviations = 0, squares = 0;
    double shift = 0;
    extremes[0] = std::numeric_limits<float>::infinity();
    extremes[1] = -extremes[0];
    const auto deviation = [&](const Block& b) -> long double { return (b.rounded_mean - shift) + b.rest; };
    for (const Block& b : blocks) {
        if (!b.finite) continue;
        if (!finite) shift = b.rounded_mean;
        finite += b.finite;
        total += b.total;
        deviations += b.finite * deviation(b);
        squares += b.squared_deviations;
        extremes[0] = std::min(extremes[0], b.minimum);
        extremes[1] = std::max(extremes[1], b.maximum);
    }
    moments[0] = moments[1] = 0;
    if (!finite) return;
    for (const Block& b : blocks) {
        const long double difference = deviation(b) - deviations / finite;
        squares += b.finite * difference * difference;
    }
    moments[0] = static_cast<double>(total / finite);
    moments[1] = static_cast<double>(squares);
}

// Returns the tables that the threads counted into, each once: OpenMP may run several parts on one thread.
std::vector<uint32_t*> distinct_tables(const std::vector<Counts>& of) {
    std::vector<uint32_t*> tables;
    for (const Counts& each : of) tables.push_back(each.table);
    std::sort(tables.begin(), tables.end());
    tables.erase(std::unique(tables.begin(), tables.end()), tables.end());
    return tables;
}

// Adds up and clears the tables between two bins of one sign. Returns the number of bins written so far.
int64_t collect(
    const std::vector<uint32_t*>& tables, int begin, int end, int64_t used, uint32_t* bin_index, int64_t* counts) {
    for (int start = begin; start < end; start += LINE) {
        uint32_t line[LINE] = {}, any = 0;
        for (const uint32_t* table : tables)
            for (int i = 0; i < LINE; ++i) line[i] += table[start + i];
        for (int i = 0; i < LINE; ++i) any |= line[i];
        if (!any) continue;
        for (uint32_t* table : tables) std::fill_n(table + start, LINE, 0u);
        if ((start / OCTAVE & 0xFF) == 0xFF) continue;  // infinities and NaNs
        for (int i = 0; i < LINE; ++i)
            if (line[i]) {
                bin_index[used] = start + i;
                counts[used++] = line[i];
            }
    }
    return used;
}

}  // namespace

// The tensor is outer * inner rows of `length` contiguous values; the rows are outer_stride and inner_stride apart. Zeros
// and values that are not finite are counted in special and in no bin. bin_index and counts hold up to BIN_COUNT entries
// each. moments are the mean and the sum of the squared deviations from it, 0 if no value is finite. extremes are the minimum
// and maximum, +inf and -inf if no value is finite. Returns the number of bins that are not empty.
extern "C" int64_t histogram(
    const float* x, int64_t outer, int64_t outer_stride, int64_t inner, int64_t inner_stride, int64_t length, int threads,
    uint32_t* bin_index, int64_t* counts, double* moments, float* extremes, int64_t* special) {
    const Rows rows{x, inner, outer_stride, inner_stride, length};
    const int64_t n = outer * inner * length, blocks = (n + BLOCK - 1) / BLOCK;
    threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, blocks / 8)));
    std::vector<Counts> of(threads);
    std::vector<Block> block(blocks);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) {
        Counts& own = of[thread];
        own.table = table_of_this_thread();
        float gathered[BLOCK];
        const int64_t end = blocks * (thread + 1) / threads;
        for (int64_t b = blocks * thread / threads; b < end; ++b) {
            const int64_t start = b * BLOCK, size = std::min(BLOCK, n - start);
            const float* values = rows.at(start, size, gathered);
            count(values, size, own.table);
            block[b] = reduce(values, size, own.special, own.magnitudes);
        }
    }
    combine(block, moments, extremes);

    std::fill(special, special + 5, 0);
    Magnitudes magnitudes;
    for (const Counts& each : of) {
        const Special& s = each.special;
        special[0] += s.positive_zeros, special[1] += s.negative_zeros, special[2] += s.nans;
        special[3] += s.positive_infinities, special[4] += s.negative_infinities;
        magnitudes.include(each.magnitudes);
    }
    if (!magnitudes.greatest) return 0;
    const int first = (magnitudes.least >> 23) * OCTAVE, last = (magnitudes.greatest >> 23) * OCTAVE + OCTAVE;
    const std::vector<uint32_t*> tables = distinct_tables(of);
    const int64_t positive = collect(tables, first, last, 0, bin_index, counts);
    return collect(tables, SIGN_BIN + first, SIGN_BIN + last, positive, bin_index, counts);
}
