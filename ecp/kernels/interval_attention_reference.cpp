#include "ecp/kernels/interval_attention_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ecp/kernels/dropout.h"

namespace ecp::kernels {
namespace {

double row_max(const double* x, std::int64_t count) {
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, x[i]);
  return largest;
}
double row_exp(double* x, std::int64_t count, double shift) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += x[i] = std::exp(x[i] - shift);
  return sum;
}
void row_scale(double* x, std::int64_t count, double factor) {
  for (std::int64_t i = 0; i < count; ++i) x[i] *= factor;
}
void row_multiply(double* x, std::int64_t count, const float* factors) {
  for (std::int64_t i = 0; i < count; ++i) x[i] *= static_cast<double>(factors[i]);
}
double row_dot(const double* x, const double* y, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += x[i] * y[i];
  return sum;
}
void row_softmax_backward(double* s, double* dp, std::int64_t count, double log_sum_exp, double delta,
                          const float* factors) {
  for (std::int64_t i = 0; i < count; ++i) {
    const double p = std::exp(s[i] - log_sum_exp);
    const double f = factors == nullptr ? 1.0 : static_cast<double>(factors[i]);
    s[i] = p * f;
    dp[i] = p * (dp[i] * f - delta);
  }
}

constexpr std::int64_t key_chunk = 512;  // keys whose scores are held at a time

/// Where one head of one sample stands in a [batch, rows, heads, width] tensor.
template <typename E>
struct Head {
  E* data;
  std::int64_t stride;  // between rows
};

template <typename E, typename Pointer>
Head<E> head_of(const HeadRows<Pointer>& t, std::int64_t sample, std::int64_t head) {
  return {static_cast<E*>(t.data) + sample * t.batch + head * t.head, t.row};
}

/// Rows from `first` on as a matrix.
Matrix<const double> rows_of(Head<const double> head, std::int64_t first) {
  return {head.data + first * head.stride, head.stride};
}

/// The shape of a problem and the keys each row sees, in local row numbers.
struct Geometry {
  std::int64_t batch, n, m, heads, kv_heads, width;
  Pattern pattern;
  std::int64_t query_offset, key_offset;
  const std::int32_t* document_start;  // [B, n] or null
  std::int64_t tile;                   // queries at a time

  explicit Geometry(const IntervalAttention& p)
      : batch(p.batch),
        n(p.rows),
        m(p.keys),
        heads(p.heads),
        kv_heads(p.kv_heads),
        width(p.width),
        pattern(p.pattern),
        query_offset(p.query_offset),
        key_offset(p.key_offset),
        document_start(p.document_start),
        tile(pattern.block() == 1 ? 64 : std::clamp<std::int64_t>(pattern.block(), 16, 64)) {}

  [[nodiscard]] Interval keys(std::int64_t sample, std::int64_t row) const {
    Interval seen = pattern.at(query_offset + row);
    if (document_start != nullptr)
      seen.lo = std::max<std::int64_t>(seen.lo, document_start[sample * n + row]);
    const std::int64_t hi = std::min(seen.hi - key_offset, m);
    return {std::min(std::max<std::int64_t>(seen.lo - key_offset, 0), std::max<std::int64_t>(hi, 0)),
            std::max<std::int64_t>(hi, 0)};
  }
  /// The end of the tile of queries that begins at `row`: tiles end at multiples of `tile` in the stream, and
  /// where a block that is longer than a tile ends, so that they don't depend on offsets.
  [[nodiscard]] std::int64_t tile_end(std::int64_t row) const {
    const std::int64_t stream = query_offset + row;
    std::int64_t end = (stream / tile + 1) * tile;
    if (pattern.block() >= tile) {
      const std::int64_t block_start = pattern.tile_begin(stream);
      end = std::min(block_start + ((stream - block_start) / tile + 1) * tile, pattern.tile_end(stream));
    }
    return std::min(end - query_offset, n);
  }
  /// All keys that rows [first, last) see.
  [[nodiscard]] Interval keys(std::int64_t sample, std::int64_t first, std::int64_t last) const {
    Interval all = keys(sample, first);
    for (std::int64_t row = first + 1; row < last; ++row) {
      const Interval seen = keys(sample, row);
      if (seen.size() == 0) continue;
      if (all.size() == 0) all = seen;
      all = {std::min(all.lo, seen.lo), std::max(all.hi, seen.hi)};
    }
    return all;
  }
};

/// Dropout of one head of one sample, in stream rows.
struct HeadDropout {
  bool active = false;
  std::uint64_t stream = 0;
  std::uint32_t threshold = 0;
  float kept = 1;
  const Geometry* geometry = nullptr;

  HeadDropout(const AttentionDropout& dropout, const Geometry& g, std::int64_t sample, std::int64_t head)
      : active(dropout.threshold > 0), threshold(dropout.threshold), kept(dropout.kept), geometry(&g) {
    if (active) stream = dropout.streams[static_cast<std::size_t>(sample * g.heads + head)];
  }
  /// The factors of keys [first, first + count) for query `row`, or null without dropout.
  const float* factors(std::int64_t row, std::int64_t first, std::int64_t count,
                       std::vector<float>& scratch) const {
    if (!active) return nullptr;
    scratch.resize(static_cast<std::size_t>(count + 256));
    return dropout_row(stream, geometry->query_offset + row, geometry->key_offset + first, count, threshold,
                       kept, scratch.data());
  }
};

/// One tile of queries of one head: what both directions need of it.
struct Tile {
  std::int64_t sample, head, first, count;
  Interval keys;  // all that its rows see
  Head<const double> q, k, v;
  HeadDropout dropout;

  Tile(const Geometry& g, const IntervalAttention& p, std::int64_t of_sample, std::int64_t of_head,
       std::int64_t begin, std::int64_t end)
      : sample(of_sample),
        head(of_head),
        first(begin),
        count(end - begin),
        keys(g.keys(sample, begin, end)),
        q(head_of<const double>(p.q, sample, head)),
        k(head_of<const double>(p.k, sample, head / (g.heads / g.kv_heads))),
        v(p.v.data != nullptr ? head_of<const double>(p.v, sample, head / (g.heads / g.kv_heads)) : k),
        dropout(p.dropout, g, sample, head) {}

  /// What row `i` of the tile sees of `among` keys from key `from`, counted from there.
  [[nodiscard]] Interval seen(const Geometry& g, std::int64_t i, std::int64_t from,
                              std::int64_t among) const {
    const Interval all = g.keys(sample, first + i);
    const std::int64_t lo = std::clamp<std::int64_t>(all.lo - from, 0, among);
    return {lo, std::clamp<std::int64_t>(all.hi - from, lo, among)};
  }
};

struct ForwardScratch {
  std::vector<double> scores, out, row_max, row_sum;
  std::vector<float> factors;
};

/// One tile of queries: online softmax over chunks of keys.
void forward_tile(const Geometry& g, const ReferenceAttention& in, const Tile& tile, const WriteRows& results,
                  double* log_sum_exp, ForwardScratch& scratch) {
  constexpr double none = -std::numeric_limits<double>::infinity();
  const std::int64_t first = tile.first, count = tile.count, width = g.width;

  const auto q = rows_of(tile.q, first);
  scratch.scores.resize(static_cast<std::size_t>(count * key_chunk));
  scratch.out.assign(static_cast<std::size_t>(count * width), 0.0);
  scratch.row_max.assign(static_cast<std::size_t>(count), none);
  scratch.row_sum.assign(static_cast<std::size_t>(count), 0.0);
  const Matrix<double> scores{scratch.scores.data(), key_chunk};
  const Matrix<double> out{scratch.out.data(), width};

  for (std::int64_t from = tile.keys.lo; from < tile.keys.hi; from += key_chunk) {
    const std::int64_t keys = std::min(key_chunk, tile.keys.hi - from);
    const auto k = rows_of(tile.k, from);
    const auto v = rows_of(tile.v, from);
    in.gemm(count, keys, width, in.scale, q, k.t(), 0.0, scores);
    for (std::int64_t i = 0; i < count; ++i) {
      double* row = scores.data + i * key_chunk;
      const auto [lo, hi] = tile.seen(g, i, from, keys);
      std::fill(row, row + lo, 0.0);
      std::fill(row + hi, row + keys, 0.0);
      if (lo == hi) continue;
      double& largest = scratch.row_max[static_cast<std::size_t>(i)];
      double& sum = scratch.row_sum[static_cast<std::size_t>(i)];
      const double raised = std::max(largest, row_max(row + lo, hi - lo));
      if (raised == none) {  // nothing above −inf: zeros, or what is not a number
        sum += row_exp(row + lo, hi - lo, 0.0);
        continue;
      }
      if (largest != none && raised > largest) {
        const double correction = std::exp(largest - raised);
        sum *= correction;
        row_scale(out.data + i * width, width, correction);
      }
      largest = raised;
      sum += row_exp(row + lo, hi - lo, raised);
      if (const float* factors = tile.dropout.factors(first + i, from + lo, hi - lo, scratch.factors)) {
        row_multiply(row + lo, hi - lo, factors);
      }
    }
    in.gemm(count, width, keys, 1.0, {scores.data, key_chunk}, v, 1.0, out);
  }

  const auto result = head_of<double>(results, tile.sample, tile.head);
  for (std::int64_t i = 0; i < count; ++i) {
    const double sum = scratch.row_sum[static_cast<std::size_t>(i)];
    log_sum_exp[first + i] = sum == 0.0 ? none : scratch.row_max[static_cast<std::size_t>(i)] + std::log(sum);
    double* row = out.data + i * width;
    row_scale(row, width, sum == 0.0 ? 0.0 : 1.0 / sum);
    double* to = result.data + (first + i) * result.stride;
    std::copy(row, row + width, to);
  }
}

struct BackwardScratch {
  std::vector<double> scores, dscores, dq, delta;
  std::vector<float> factors;
};

/// One tile of queries: probabilities again from log_sum_exp, gradients added to dq (scratch), dk and dv in
/// place.
void backward_tile(const Geometry& g, const ReferenceAttention& in, const Tile& tile,
                   const ReferenceBackward& of, const double* log_sum_exp, Head<double> dk, Head<double> dv,
                   BackwardScratch& scratch) {
  constexpr double none = -std::numeric_limits<double>::infinity();
  const std::int64_t first = tile.first, count = tile.count, width = g.width;
  const std::int64_t sample = tile.sample, head = tile.head;

  const auto q = rows_of(tile.q, first);
  const auto dout = rows_of(head_of<const double>(of.grad_out, sample, head), first);
  const auto result = rows_of(head_of<const double>(of.out, sample, head), first);
  scratch.scores.resize(static_cast<std::size_t>(count * key_chunk));
  scratch.dscores.resize(static_cast<std::size_t>(count * key_chunk));
  scratch.dq.assign(static_cast<std::size_t>(count * width), 0.0);
  scratch.delta.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {  // Σ p · dp of a row is the product of its output and gradient
    scratch.delta[static_cast<std::size_t>(i)] =
        row_dot(result.data + i * result.stride, dout.data + i * dout.stride, width);
  }
  const Matrix<double> scores{scratch.scores.data(), key_chunk};
  const Matrix<double> dscores{scratch.dscores.data(), key_chunk};
  const Matrix<const double> p{scratch.scores.data(), key_chunk};
  const Matrix<const double> ds{scratch.dscores.data(), key_chunk};
  const Matrix<double> dq{scratch.dq.data(), width};
  const double scale = in.scale;

  for (std::int64_t from = tile.keys.lo; from < tile.keys.hi; from += key_chunk) {
    const std::int64_t keys = std::min(key_chunk, tile.keys.hi - from);
    const auto k = rows_of(tile.k, from);
    const auto v = rows_of(tile.v, from);
    in.gemm(count, keys, width, scale, q, k.t(), 0.0, scores);
    in.gemm(count, keys, width, 1.0, dout, v.t(), 0.0, dscores);
    for (std::int64_t i = 0; i < count; ++i) {
      double* row = scores.data + i * key_chunk;
      double* drow = dscores.data + i * key_chunk;
      const double sum = log_sum_exp[first + i];
      const auto [lo, hi] = sum == none ? Interval{0, 0} : tile.seen(g, i, from, keys);
      for (double* unseen : {row, drow}) {
        std::fill(unseen, unseen + lo, 0.0);
        std::fill(unseen + hi, unseen + keys, 0.0);
      }
      row_softmax_backward(row + lo, drow + lo, hi - lo, sum, scratch.delta[static_cast<std::size_t>(i)],
                           tile.dropout.factors(first + i, from + lo, hi - lo, scratch.factors));
    }
    in.gemm(keys, width, count, 1.0, p.t(), dout, 1.0, {dv.data + from * dv.stride, dv.stride});
    in.gemm(keys, width, count, scale, ds.t(), q, 1.0, {dk.data + from * dk.stride, dk.stride});
    in.gemm(count, width, keys, scale, ds, k, 1.0, dq);
  }

  const auto to = head_of<double>(of.grad_q, sample, head);
  for (std::int64_t i = 0; i < count; ++i) {
    double* row = to.data + (first + i) * to.stride;
    std::copy(dq.data + i * width, dq.data + (i + 1) * width, row);
  }
}

/// The first row of each tile of queries.
std::vector<std::int64_t> tiles_of(const Geometry& g) {
  std::vector<std::int64_t> starts;
  for (std::int64_t row = 0; row < g.n; row = g.tile_end(row)) starts.push_back(row);
  return starts;
}

}  // namespace

void plain_gemm(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, Matrix<const double> a,
                Matrix<const double> b, double beta, Matrix<double> c) {
  const auto at = [](const Matrix<const double>& x, std::int64_t row, std::int64_t column) {
    return x.transposed ? x.data[column * x.stride + row] : x.data[row * x.stride + column];
  };
  for (std::int64_t i = 0; i < m; ++i) {
    double* row = c.data + i * c.stride;
    for (std::int64_t j = 0; j < n; ++j) row[j] = beta == 0 ? 0 : beta * row[j];
    for (std::int64_t l = 0; l < k; ++l) {
      const double factor = alpha * at(a, i, l);
      for (std::int64_t j = 0; j < n; ++j) row[j] += factor * at(b, l, j);
    }
  }
}

std::int64_t reference_forward_tasks(const IntervalAttention& problem) {
  return problem.batch * problem.heads * static_cast<std::int64_t>(tiles_of(Geometry(problem)).size());
}

void reference_forward(const ReferenceAttention& attention, const ReferenceForward& results,
                       std::int64_t begin, std::int64_t end) {
  const Geometry g(attention.problem);
  const std::vector<std::int64_t> starts = tiles_of(g);
  const auto tiles = static_cast<std::int64_t>(starts.size());
  ForwardScratch scratch;
  for (std::int64_t task = begin; task < end; ++task) {
    const std::int64_t head = task / tiles % g.heads, sample = task / tiles / g.heads;
    const std::int64_t first = starts[static_cast<std::size_t>(task % tiles)];
    const Tile tile(g, attention.problem, sample, head, first, g.tile_end(first));
    forward_tile(g, attention, tile, results.out, results.log_sum_exp + (sample * g.heads + head) * g.n,
                 scratch);
  }
}

std::int64_t reference_backward_tasks(const IntervalAttention& problem) {
  return problem.batch * problem.kv_heads;
}

/// Key and value heads are independent; the tiles of one run in order, so that its sums are always the same.
void reference_backward(const ReferenceAttention& attention, const ReferenceBackward& gradients,
                        std::int64_t begin, std::int64_t end) {
  const Geometry g(attention.problem);
  const std::int64_t group = g.heads / g.kv_heads;
  BackwardScratch scratch;
  for (std::int64_t task = begin; task < end; ++task) {
    const std::int64_t kv_head = task % g.kv_heads, sample = task / g.kv_heads;
    const auto dk = head_of<double>(gradients.grad_k, sample, kv_head);
    const auto dv =
        gradients.grad_v.data != nullptr ? head_of<double>(gradients.grad_v, sample, kv_head) : dk;
    for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::int64_t first = 0; first < g.n;) {
        const std::int64_t last = g.tile_end(first);
        backward_tile(g, attention, Tile(g, attention.problem, sample, head, first, last), gradients,
                      gradients.log_sum_exp + (sample * g.heads + head) * g.n, dk, dv, scratch);
        first = last;
      }
    }
  }
}

}  // namespace ecp::kernels
