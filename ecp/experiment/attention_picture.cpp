#include "ecp/experiment/attention_picture.h"

#include <fmt/core.h>

#include <algorithm>

#include "ecp/base/error.h"
#include "ecp/config/attention_plan.h"
#include "ecp/config/variants.h"
#include "ecp/experiment/html.h"

namespace ecp {
namespace {

// Classes of the style sheet.
constexpr const char* trained_class = "s0";
constexpr const char* history_class = "s1";

using Grid = std::vector<std::vector<bool>>;

/// What the heads from `head` on see in one layer: [row][key].
Grid seen_by(const LayerPlan& plan, std::int64_t head) {
  const auto rows = static_cast<std::size_t>(plan.rows);
  Grid grid(rows, std::vector<bool>(rows, false));
  for (const AttentionCall& call : plan.calls) {
    if (head < call.first_head || head >= call.first_head + call.heads) continue;
    for (std::int64_t row = call.first_query; row < call.first_query + call.queries; ++row) {
      const Interval keys = call.at(row);
      for (std::int64_t key = keys.lo; key < keys.hi; ++key)
        grid[static_cast<std::size_t>(row)][static_cast<std::size_t>(key)] = true;
    }
  }
  return grid;
}

/// Runs of cells as one path, in units of cells.
std::string cells(const Grid& grid, std::size_t first, std::size_t last) {
  std::string path;
  for (std::size_t row = first; row < last; ++row) {
    const std::vector<bool>& line = grid[row];
    for (std::size_t begin = 0; begin < line.size(); ++begin) {
      if (!line[begin]) continue;
      std::size_t end = begin;
      while (end < line.size() && line[end]) ++end;
      path += fmt::format("M{} {}h{}v1h-{}z", begin, row, end - begin, end - begin);
      begin = end;
    }
  }
  return path;
}

std::string filled(const std::string& path, const char* color) {
  return path.empty() ? "" : fmt::format("<path class=\"fill {}\" d=\"{}\"/>\n", color, path);
}

std::string grid_lines(std::size_t columns, std::size_t rows) {
  std::string path;
  for (std::size_t x = 0; x <= columns; ++x) path += fmt::format("M{} 0v{}", x, rows);
  for (std::size_t y = 0; y <= rows; ++y) path += fmt::format("M0 {}h{}", y, columns);
  return fmt::format("<path class=\"cells\" d=\"{}\"/>\n", path);
}

std::string figure(const std::string& name, const std::string& what, const std::string& description,
                   std::size_t columns, std::size_t rows, double cell_height, const std::string& drawing) {
  const std::string caption = escape_html(name), detail = escape_html(what);
  return fmt::format(
      "<figure>\n<figcaption><b>{}</b> {}</figcaption>\n"
      "<svg class=\"cells-of\" viewBox=\"-0.1 -0.1 {:.1f} {:.1f}\" role=\"img\">\n<title>{}: {}</title>\n"
      "<desc>{}</desc>\n<g transform=\"scale(1 {})\">\n{}</g>\n</svg>\n</figure>\n",
      caption, detail, static_cast<double>(columns) + 0.2, static_cast<double>(rows) * cell_height + 0.2,
      caption, detail, escape_html(description), cell_height, drawing);
}

/// How many rows, from the first on, are history: all before the last ones that are trained.
std::size_t history_rows(const ModelConfig& config, const LayerPlan& plan) {
  return static_cast<std::size_t>(plan.rows - config.trained_rows(config.sequence));
}

std::size_t count(const Grid& grid) {
  std::size_t sum = 0;
  for (const std::vector<bool>& line : grid)
    sum += static_cast<std::size_t>(std::count(line.begin(), line.end(), true));
  return sum;
}

/// Layer 2 as well, if it has other rows than layer 1.
std::vector<std::int64_t> layers_that_differ(const ModelConfig& config) {
  const LayerPlan first = layer_plan(config, 0, config.sequence);
  const bool more = config.layers > 2 && layer_plan(config, 1, config.sequence).rows != first.rows;
  return more ? std::vector<std::int64_t>{0, 1} : std::vector<std::int64_t>{0};
}

/// The first head of each group that sees alike.
std::vector<std::int64_t> groups_of(const LayerPlan& plan) {
  std::vector<std::int64_t> heads;
  for (const AttentionCall& call : plan.calls) {
    if (std::find(heads.begin(), heads.end(), call.first_head) == heads.end())
      heads.push_back(call.first_head);
  }
  return heads;
}

using Row = std::vector<bool>;

void join(Row& to, const Row& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = to[i] || from[i];
}

/// What the rows of a layer's output depend on, from what those of its input do.
std::vector<Row> after(const LayerPlan& plan, const std::vector<Row>& before) {
  std::vector<Row> now = before;  // the residual
  for (const AttentionCall& call : plan.calls) {
    for (std::int64_t row = call.first_query; row < call.first_query + call.queries; ++row) {
      const Interval keys = call.at(row);
      for (std::int64_t key = keys.lo; key < keys.hi; ++key)
        join(now[static_cast<std::size_t>(row)], before[static_cast<std::size_t>(key)]);
    }
  }
  now.erase(now.begin(), now.begin() + plan.first_out);
  if (plan.compressed_from > 0) {  // each new row is a mixture of all these
    Row all(before[0].size(), false);
    for (std::int64_t row = 0; row < plan.compressed_from; ++row)
      join(all, now[static_cast<std::size_t>(row)]);
    now.erase(now.begin(), now.begin() + plan.compressed_from);
    now.insert(now.begin(), static_cast<std::size_t>(plan.compressed_to), all);
  }
  return now;
}

}  // namespace

std::vector<PicturedModel> pictured_models(std::int64_t n, std::int64_t layers) {
  ModelConfig base;
  apply_preset(base);
  base.vocab = 1;
  base.dim = 8;
  base.heads = 4;
  base.layers = layers;
  base.sequence = n;
  base.block = n / 8;
  base.latents = n / 2;
  base.history_segment = n / 8;
  base.compressed_history = n / 8;
  base.group = n / 4;
  base.window = n / 4;
  std::vector<PicturedModel> models;
  for (const std::string& name : architecture_names()) {
    models.push_back({name, with_architecture(base, name)});
    if (name != base.architecture) continue;
    ModelConfig wide = base, shifted = base;
    wide.lookback = 2;
    models.push_back({name + ", lookback 2", wide});
    shifted.shift_heads = true;
    models.push_back({name + ", shift_heads", shifted});
  }
  return models;
}

std::string attention_matrices(const PicturedModel& model) {
  std::string html;
  const ModelConfig& config = model.config;
  const auto layers = layers_that_differ(config);
  for (const std::int64_t layer : layers) {
    const LayerPlan plan = layer_plan(config, layer, config.sequence);
    const auto groups = groups_of(plan);
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const Grid grid = seen_by(plan, groups[i]);
      const std::size_t size = grid.size(), history = history_rows(config, plan);
      std::string what;
      if (layers.size() > 1) what = layer == 0 ? "layer 1" : "layers 2 and on";
      if (groups.size() > 1) what += i == 0 ? "half of the heads" : "the other half";
      if (what.empty()) what = "all heads";
      const std::string description = fmt::format(
          "{} rows; each filled cell is a key, across, that a query row, downward, sees: {} of {} pairs.{}",
          size, count(grid), size * size,
          history == 0 ? "" : fmt::format(" The first {} rows are history, the others latents.", history));
      html += figure(model.name, what, description, size, size, 1,
                     filled(cells(grid, 0, history), history_class) +
                         filled(cells(grid, history, size), trained_class) + grid_lines(size, size));
    }
  }
  return html;
}

std::vector<std::vector<bool>> receptive_field(const ModelConfig& config) {
  const std::int64_t n = config.sequence;
  const auto size = static_cast<std::size_t>(n);
  std::vector<Row> rows(size, Row(size, false));
  for (std::size_t i = 0; i < size; ++i) rows[i][i] = true;
  std::vector<Row> field{rows.back()};
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    rows = after(layer_plan(config, layer, n), rows);
    field.push_back(rows.back());
  }
  return field;
}

std::string receptive_field_picture(const PicturedModel& model) {
  const Grid field = receptive_field(model.config);
  const std::size_t tokens = field[0].size();
  const auto first = static_cast<std::size_t>(std::find(field.back().begin(), field.back().end(), true) -
                                              field.back().begin());
  std::string description = "Tokens that the last row depends on:";
  for (std::size_t layer = 1; layer < field.size(); ++layer) {
    description +=
        fmt::format(" {} after layer {}{}", std::count(field[layer].begin(), field[layer].end(), true), layer,
                    layer + 1 < field.size() ? "," : ".");
  }
  const std::string what =
      first == 0 ? "reaches everything" : fmt::format("reaches {} of {} tokens", tokens - first, tokens);
  constexpr double row_height = 3;  // so that few layers over many tokens are a picture, not a strip
  return figure(model.name, what, description, tokens, field.size(), row_height,
                filled(cells(field, 0, 1), history_class) +
                    filled(cells(field, 1, field.size()), trained_class) + grid_lines(tokens, field.size()));
}

}  // namespace ecp
