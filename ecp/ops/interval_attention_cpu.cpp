#include "ecp/ops/interval_attention_cpu.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "ecp/ops/blas.h"
#include "ecp/ops/dropout.h"
#include "ecp/ops/rows.h"

namespace ecp::ops {
namespace {

constexpr std::int64_t key_chunk = 512;  // keys whose scores are held at a time

/// Where one head of one sample stands in a [B, rows, heads, d_h] tensor of elements E.
template <typename E>
struct Head {
  E* data;
  std::int64_t stride;  // between rows
};

template <typename E>
Head<E> head_of(const at::Tensor& t, std::int64_t sample, std::int64_t head) {
  auto* data = static_cast<E*>(t.data_ptr());
  return {data + sample * t.stride(0) + head * t.stride(2), t.stride(1)};
}

/// Rows [first, first + count) as a matrix of the computing type: in place, or converted into `scratch`.
template <typename T, typename E>
Matrix<const T> rows_of(Head<E> head, std::int64_t first, std::int64_t count, std::int64_t width,
                        std::vector<T>& scratch) {
  E* data = head.data + first * head.stride;
  if constexpr (std::is_same_v<std::remove_const_t<E>, T>) {
    return {data, head.stride};
  } else {
    scratch.resize(static_cast<std::size_t>(count * width));
    for (std::int64_t i = 0; i < count; ++i) {
      row_to_float(reinterpret_cast<const std::uint16_t*>(data + i * head.stride), scratch.data() + i * width,
                   width);
    }
    return {scratch.data(), width};
  }
}

/// The shape of a problem and the keys each row sees, in local row numbers.
struct Geometry {
  std::int64_t batch, n, m, heads, kv_heads, width;
  Pattern pattern;
  std::int64_t query_offset, key_offset;
  const std::int32_t* document_start;  // [B, n] or null
  std::int64_t tile;                   // queries at a time

  explicit Geometry(const AttentionInputs& in)
      : batch(in.q.size(0)),
        n(in.q.size(1)),
        m(in.k.size(1)),
        heads(in.q.size(2)),
        kv_heads(in.k.size(2)),
        width(in.q.size(3)),
        pattern(in.pattern),
        query_offset(in.query_offset),
        key_offset(in.key_offset),
        document_start(in.document_start ? in.document_start->const_data_ptr<std::int32_t>() : nullptr),
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

  HeadDropout(const DropoutKey& key, const Geometry& g, std::int64_t sample, std::int64_t head)
      : geometry(&g) {
    threshold = dropout_threshold(key.probability);
    active = threshold > 0;
    if (!active) return;
    stream = dropout_stream(key.seed, key.step, key.samples[static_cast<std::size_t>(sample)], key.layer,
                            DropoutSite::attention, head);
    kept = static_cast<float>(1 / kept_share(key.probability));
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
template <typename E>
struct Tile {
  std::int64_t sample, head, first, count;
  Interval keys;  // all that its rows see
  Head<const E> q, k, v;
  HeadDropout dropout;

  Tile(const Geometry& g, const AttentionInputs& in, std::int64_t of_sample, std::int64_t of_head,
       std::int64_t begin, std::int64_t end)
      : sample(of_sample),
        head(of_head),
        first(begin),
        count(end - begin),
        keys(g.keys(sample, begin, end)),
        q(head_of<const E>(in.q, sample, head)),
        k(head_of<const E>(in.k, sample, head / (g.heads / g.kv_heads))),
        v(in.v ? head_of<const E>(*in.v, sample, head / (g.heads / g.kv_heads)) : k),
        dropout(in.dropout, g, sample, head) {}

  /// What row `i` of the tile sees of `among` keys from key `from`, counted from there.
  [[nodiscard]] Interval seen(const Geometry& g, std::int64_t i, std::int64_t from,
                              std::int64_t among) const {
    const Interval all = g.keys(sample, first + i);
    const std::int64_t lo = std::clamp<std::int64_t>(all.lo - from, 0, among);
    return {lo, std::clamp<std::int64_t>(all.hi - from, lo, among)};
  }
};

template <typename T>
struct ForwardScratch {
  std::vector<T> scores, out, row_max, row_sum, q, k, v;
  std::vector<float> factors;
};

/// One tile of queries: online softmax over chunks of keys.
template <typename T, typename E>
void forward_tile(const Geometry& g, const AttentionInputs& in, const Tile<E>& tile,
                  const at::Tensor& out_BNHD, T* log_sum_exp, ForwardScratch<T>& scratch) {
  constexpr T none = -std::numeric_limits<T>::infinity();
  const std::int64_t first = tile.first, count = tile.count, width = g.width;

  const auto q = rows_of<T>(tile.q, first, count, width, scratch.q);
  scratch.scores.resize(static_cast<std::size_t>(count * key_chunk));
  scratch.out.assign(static_cast<std::size_t>(count * width), T{0});
  scratch.row_max.assign(static_cast<std::size_t>(count), none);
  scratch.row_sum.assign(static_cast<std::size_t>(count), T{0});
  const Matrix<T> scores{scratch.scores.data(), key_chunk};
  const Matrix<T> out{scratch.out.data(), width};

  for (std::int64_t from = tile.keys.lo; from < tile.keys.hi; from += key_chunk) {
    const std::int64_t keys = std::min(key_chunk, tile.keys.hi - from);
    const auto k = rows_of<T>(tile.k, from, keys, width, scratch.k);
    const auto v = in.v ? rows_of<T>(tile.v, from, keys, width, scratch.v) : k;
    gemm(count, keys, width, static_cast<T>(in.scale), q, k.t(), T{0}, scores);
    for (std::int64_t i = 0; i < count; ++i) {
      T* row = scores.data + i * key_chunk;
      const auto [lo, hi] = tile.seen(g, i, from, keys);
      std::fill(row, row + lo, T{0});
      std::fill(row + hi, row + keys, T{0});
      if (lo == hi) continue;
      T& largest = scratch.row_max[static_cast<std::size_t>(i)];
      T& sum = scratch.row_sum[static_cast<std::size_t>(i)];
      const T raised = std::max(largest, row_max(row + lo, hi - lo));
      if (raised == none) {  // nothing above −inf: zeros, or what is not a number
        sum += row_exp(row + lo, hi - lo, T{0});
        continue;
      }
      if (largest != none && raised > largest) {
        const T correction = std::exp(largest - raised);
        sum *= correction;
        row_scale(out.data + i * width, width, correction);
      }
      largest = raised;
      sum += row_exp(row + lo, hi - lo, raised);
      if (const float* factors = tile.dropout.factors(first + i, from + lo, hi - lo, scratch.factors)) {
        row_multiply(row + lo, hi - lo, factors);
      }
    }
    gemm(count, width, keys, T{1}, {scores.data, key_chunk}, v, T{1}, out);
  }

  const auto result = head_of<E>(out_BNHD, tile.sample, tile.head);
  for (std::int64_t i = 0; i < count; ++i) {
    const T sum = scratch.row_sum[static_cast<std::size_t>(i)];
    log_sum_exp[first + i] =
        sum == T{0} ? none : scratch.row_max[static_cast<std::size_t>(i)] + std::log(sum);
    T* row = out.data + i * width;
    row_scale(row, width, sum == T{0} ? T{0} : T{1} / sum);
    E* to = result.data + (first + i) * result.stride;
    if constexpr (std::is_same_v<E, T>) {
      std::copy(row, row + width, to);
    } else {
      row_to_bfloat16(row, reinterpret_cast<std::uint16_t*>(to), width);
    }
  }
}

template <typename T, typename E>
void forward(const AttentionInputs& in, const at::Tensor& out, const at::Tensor& log_sum_exp) {
  const Geometry g(in);
  std::vector<std::int64_t> starts;
  for (std::int64_t row = 0; row < g.n; row = g.tile_end(row)) starts.push_back(row);
  const auto tiles = static_cast<std::int64_t>(starts.size());
  T* sums = log_sum_exp.mutable_data_ptr<T>();
  at::parallel_for(0, g.batch * g.heads * tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    ForwardScratch<T> scratch;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t head = task / tiles % g.heads, sample = task / tiles / g.heads;
      const std::int64_t first = starts[static_cast<std::size_t>(task % tiles)];
      const Tile<E> tile(g, in, sample, head, first, g.tile_end(first));
      forward_tile<T, E>(g, in, tile, out, sums + (sample * g.heads + head) * g.n, scratch);
    }
  });
}

template <typename T>
struct BackwardScratch {
  std::vector<T> scores, dscores, dq, delta, q, k, v, dout, out;
  std::vector<float> factors;
};

/// One tile of queries: probabilities again from log_sum_exp, gradients added to dq (scratch), dk and dv in
/// place.
template <typename T, typename E>
void backward_tile(const Geometry& g, const AttentionInputs& in, const Tile<E>& tile,
                   const at::Tensor& grad_out, const at::Tensor& out, const T* log_sum_exp,
                   const at::Tensor& grad_q, Head<T> dk, Head<T> dv, BackwardScratch<T>& scratch) {
  constexpr T none = -std::numeric_limits<T>::infinity();
  const std::int64_t first = tile.first, count = tile.count, width = g.width;
  const std::int64_t sample = tile.sample, head = tile.head;

  const auto q = rows_of<T>(tile.q, first, count, width, scratch.q);
  const auto dout = rows_of<T>(head_of<const E>(grad_out, sample, head), first, count, width, scratch.dout);
  const auto result = rows_of<T>(head_of<const E>(out, sample, head), first, count, width, scratch.out);
  scratch.scores.resize(static_cast<std::size_t>(count * key_chunk));
  scratch.dscores.resize(static_cast<std::size_t>(count * key_chunk));
  scratch.dq.assign(static_cast<std::size_t>(count * width), T{0});
  scratch.delta.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {  // Σ p · dp of a row is the product of its output and gradient
    scratch.delta[static_cast<std::size_t>(i)] =
        row_dot(result.data + i * result.stride, dout.data + i * dout.stride, width);
  }
  const Matrix<T> scores{scratch.scores.data(), key_chunk};
  const Matrix<T> dscores{scratch.dscores.data(), key_chunk};
  const Matrix<const T> p{scratch.scores.data(), key_chunk};
  const Matrix<const T> ds{scratch.dscores.data(), key_chunk};
  const Matrix<T> dq{scratch.dq.data(), width};
  const auto scale = static_cast<T>(in.scale);

  for (std::int64_t from = tile.keys.lo; from < tile.keys.hi; from += key_chunk) {
    const std::int64_t keys = std::min(key_chunk, tile.keys.hi - from);
    const auto k = rows_of<T>(tile.k, from, keys, width, scratch.k);
    const auto v = in.v ? rows_of<T>(tile.v, from, keys, width, scratch.v) : k;
    gemm(count, keys, width, scale, q, k.t(), T{0}, scores);
    gemm(count, keys, width, T{1}, dout, v.t(), T{0}, dscores);
    for (std::int64_t i = 0; i < count; ++i) {
      T* row = scores.data + i * key_chunk;
      T* drow = dscores.data + i * key_chunk;
      const T sum = log_sum_exp[first + i];
      const auto [lo, hi] = sum == none ? Interval{0, 0} : tile.seen(g, i, from, keys);
      for (T* unseen : {row, drow}) {
        std::fill(unseen, unseen + lo, T{0});
        std::fill(unseen + hi, unseen + keys, T{0});
      }
      row_softmax_backward(row + lo, drow + lo, hi - lo, sum, scratch.delta[static_cast<std::size_t>(i)],
                           tile.dropout.factors(first + i, from + lo, hi - lo, scratch.factors));
    }
    gemm(keys, width, count, T{1}, p.t(), dout, T{1}, {dv.data + from * dv.stride, dv.stride});
    gemm(keys, width, count, scale, ds.t(), q, T{1}, {dk.data + from * dk.stride, dk.stride});
    gemm(count, width, keys, scale, ds, k, T{1}, dq);
  }

  const auto to = head_of<E>(grad_q, sample, head);
  for (std::int64_t i = 0; i < count; ++i) {
    E* row = to.data + (first + i) * to.stride;
    if constexpr (std::is_same_v<E, T>) {
      std::copy(dq.data + i * width, dq.data + (i + 1) * width, row);
    } else {
      row_to_bfloat16(dq.data + i * width, reinterpret_cast<std::uint16_t*>(row), width);
    }
  }
}

/// Key and value heads are independent; the tiles of one run in order, so that its sums are always the same.
template <typename T, typename E>
void backward(const AttentionInputs& in, const at::Tensor& grad_out, const at::Tensor& out,
              const at::Tensor& log_sum_exp, const at::Tensor& grad_q, const at::Tensor& grad_k,
              const at::Tensor& grad_v) {
  const Geometry g(in);
  const std::int64_t group = g.heads / g.kv_heads;
  const T* sums = log_sum_exp.const_data_ptr<T>();
  at::parallel_for(0, g.batch * g.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
    BackwardScratch<T> scratch;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t kv_head = task % g.kv_heads, sample = task / g.kv_heads;
      const auto dk = head_of<T>(grad_k, sample, kv_head);
      const auto dv = grad_v.defined() ? head_of<T>(grad_v, sample, kv_head) : dk;
      for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        for (std::int64_t first = 0; first < g.n;) {
          const std::int64_t last = g.tile_end(first);
          backward_tile<T, E>(g, in, Tile<E>(g, in, sample, head, first, last), grad_out, out,
                              sums + (sample * g.heads + head) * g.n, grad_q, dk, dv, scratch);
          first = last;
        }
      }
    }
  });
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> attention_forward_cpu(const AttentionInputs& in) {
  const at::Tensor& q = in.q;
  const bool wide = q.scalar_type() == at::kDouble;
  at::Tensor out = at::empty(q.sizes(), q.options());
  at::Tensor log_sum_exp =
      at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(wide ? at::kDouble : at::kFloat));
  if (wide) {
    forward<double, double>(in, out, log_sum_exp);
  } else if (q.scalar_type() == at::kFloat) {
    forward<float, float>(in, out, log_sum_exp);
  } else {
    forward<float, at::BFloat16>(in, out, log_sum_exp);
  }
  return {out, log_sum_exp};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward_cpu(const AttentionInputs& in,
                                                                      const at::Tensor& grad_out,
                                                                      const at::Tensor& out,
                                                                      const at::Tensor& log_sum_exp) {
  const at::ScalarType dtype = in.q.scalar_type();
  const auto sums = in.k.options().dtype(dtype == at::kDouble ? at::kDouble : at::kFloat);
  at::Tensor grad_q = at::empty(in.q.sizes(), in.q.options());
  at::Tensor grad_k = at::zeros(in.k.sizes(), sums);
  at::Tensor grad_v = in.v ? at::zeros(in.v->sizes(), sums) : at::Tensor();
  if (dtype == at::kDouble) {
    backward<double, double>(in, grad_out, out, log_sum_exp, grad_q, grad_k, grad_v);
  } else if (dtype == at::kFloat) {
    backward<float, float>(in, grad_out, out, log_sum_exp, grad_q, grad_k, grad_v);
  } else {
    backward<float, at::BFloat16>(in, grad_out, out, log_sum_exp, grad_q, grad_k, grad_v);
    grad_k = grad_k.to(dtype);
    if (grad_v.defined()) grad_v = grad_v.to(dtype);
  }
  return {grad_q, grad_k, grad_v};
}

}  // namespace ecp::ops
