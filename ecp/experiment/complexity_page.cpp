#include "ecp/experiment/complexity_page.h"

#include <fmt/core.h>

#include <functional>

#include "ecp/base/error.h"
#include "ecp/config/variants.h"
#include "ecp/experiment/attention_picture.h"
#include "ecp/experiment/chart.h"
#include "ecp/experiment/html.h"
#include "ecp/experiment/page.h"

namespace ecp {
namespace {

std::string whole(std::int64_t value) { return grouped(static_cast<double>(value)); }

std::string megabytes(double bytes) { return decimal(bytes / 1e6, bytes < 1e7 ? 2 : 1); }

std::string cell(const std::string& text) { return fmt::format("<td class=\"number\">{}</td>", text); }

/// A table that scrolls by itself where the page is narrow; the first column names the rows.
class Table {
 public:
  Table(std::string label, const std::vector<std::string>& heads) : label_(std::move(label)) {
    for (std::size_t i = 0; i < heads.size(); ++i)
      rows_ += fmt::format("<th scope=\"col\"{}>{}</th>", i > 0 ? " class=\"number\"" : "", heads[i]);
    rows_ = "<tr>" + rows_ + "</tr>\n";
  }
  /// `cells` are <td> elements.
  void row(const std::string& name, const std::string& cells) {
    rows_ += fmt::format("<tr><th scope=\"row\">{}</th>{}</tr>\n", name, cells);
  }
  [[nodiscard]] std::string html() const {
    return fmt::format(
        "<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\"><table "
        "class=\"costs\">\n{}</table></div>\n",
        label_, rows_);
  }

 private:
  std::string label_, rows_;
};

std::string name_of(std::size_t index, const CountedModel& model) {
  return fmt::format("<span class=\"key {}\">{}</span>", series_class(index), model.architecture);
}

std::string cache_text(const Complexity& cost) {
  if (cost.cache.kind == CacheCost::Kind::none) return "recomputed";
  return megabytes(cost.cache.bytes) + (cost.cache.kind == CacheCost::Kind::growing ? ", grows" : "");
}

/// Small models' operations have more digits than large ones'.
std::string giga(double operations) { return decimal(operations / 1e9, operations < 1e8 ? 4 : 2); }

std::string costs(const ComplexityReport& report) {
  Table work("Attention and operations",
             {"architecture", "entries, visible", "entries, dense", "GFLOP forward", "GFLOP backward",
              "MFLOP per token", "MFLOP per trained token"});
  Table memory("Parameters and memory", {"architecture", "parameters", "without embeddings",
                                         "activations, MB", "cache, rows", "cache, MB"});
  for (std::size_t i = 0; i < report.models.size(); ++i) {
    const CountedModel& model = report.models[i];
    const Complexity& cost = model.cost;
    work.row(name_of(i, model), cell(whole(cost.entries.visible)) + cell(whole(cost.entries.dense)) +
                                    cell(giga(cost.flops.forward())) + cell(giga(cost.flops.backward())) +
                                    cell(decimal(cost.training_per_token() / 1e6, 2)) +
                                    cell(decimal(cost.training_per_trained_token() / 1e6, 2)));
    memory.row(name_of(i, model),
               cell(cost.parameters ? whole(*cost.parameters) : "–") + cell(whole(cost.inner_parameters)) +
                   cell(megabytes(cost.activations_float32)) +
                   cell(cost.cache.kind == CacheCost::Kind::none ? "–" : whole(cost.cache.rows)) +
                   cell(cache_text(cost)));
  }
  return "<h2>Costs</h2>\n<p>One window, all layers and heads. Visible entries are the pairs of a query and "
         "a "
         "key that attention needs, dense ones the rectangles that an implementation with masks computes, as "
         "the paper counts. Per token means a training step, forward and backward; the last rows alone are "
         "trained in the architectures with latents.</p>\n" +
         work.html() +
         "<p>Activations are what a training step keeps of one window in float32, at least. The cache is "
         "what "
         "generation keeps; architectures with latents have none and compute their window anew for each "
         "token.</p>\n" +
         memory.html();
}

std::string left_out(const ComplexityReport& report) {
  std::string html;
  for (const std::string& one : report.left_out)
    html += fmt::format("<p class=\"note\">Left out: {}</p>\n", escape_html(one));
  return html;
}

std::string paper(const ComplexityReport& report) {
  if (!report.paper) return "";
  Table table("The paper's figures", {"architecture", "dense, million", "the paper, million",
                                      "of full attention", "the paper's share", "visible, million"});
  std::string notes;
  const ModelConfig& any = report.models[0].config;
  const double full = static_cast<double>(any.sequence) * static_cast<double>(any.sequence) *
                      static_cast<double>(any.heads * any.layers);
  for (std::size_t i = 0; i < report.models.size(); ++i) {
    const CountedModel& model = report.models[i];
    const PrintedEntries* printed = printed_entries(model.architecture);
    const bool same = printed != nullptr && printed->note.empty();
    const std::string ours = whole(millions(model.cost.entries.dense));
    table.row(name_of(i, model),
              cell(same ? "<b>" + ours + "</b>" : ours) +
                  cell(printed == nullptr ? "–" : whole(printed->millions)) +
                  cell(fmt::format("{:.1f} %", 100 * static_cast<double>(model.cost.entries.dense) / full)) +
                  cell(printed == nullptr ? "–" : fmt::format("{} %", printed->percent)) +
                  cell(whole(millions(model.cost.entries.visible))));
    if (printed != nullptr && !same) {
      notes += fmt::format("<li><b>{}</b>: the printed {} {}.</li>\n", model.architecture,
                           whole(printed->millions), escape_html(printed->note));
    }
  }
  return "<h2>Beside the paper's Table 8</h2>\n<p>n 4096, 48 layers, 24 heads, s = p = 256, ℓ 2048. Bold: "
         "our "
         "dense count is the printed figure. The paper counts history rows in every layer, and so does our "
         "dense "
         "count; our models leave them out of the last layer, where nothing reads them, as the visible count "
         "shows. Widths and the vocabulary aren't said there; those above are ours.</p>\n" +
         table.html() + "<p>The other three don't follow from the paper's design:</p>\n<ul>\n" + notes +
         "</ul>\n";
}

/// A cost of every architecture over the length; what an architecture can't have is a gap.
std::string over_length(const ComplexityReport& report, const std::string& title, const std::string& unit,
                        const std::function<double(const Complexity&)>& cost) {
  Chart chart{
      .title = title, .x_label = "tokens of the window, n", .y_label = unit, .log_x = true, .log_y = true};
  chart.legend = false;
  for (const CountedModel& model : report.models) {
    Series series{model.architecture, {}, false};
    for (const std::int64_t n : drawn_lengths(model.cost.length)) {
      try {
        const ModelConfig config = at_length(model.config, n);
        config.validate();
        series.points.emplace_back(static_cast<double>(n), cost(complexity(config, n)));
      } catch (const Error&) {
        continue;  // too short for its sizes
      }
    }
    chart.series.push_back(std::move(series));
  }
  return render(chart);
}

std::string charts(const ComplexityReport& report) {
  std::string keys;
  for (std::size_t i = 0; i < report.models.size(); ++i) keys += name_of(i, report.models[i]) + " ";
  return fmt::format(
      "<h2>Cost against length</h2>\n<p>Both axes are logarithmic: a line that rises twice as steeply grows "
      "with "
      "the square of the length. Blocks, groups, windows, segments and the compressed history keep their "
      "number of rows; latents keep their share of the window. A line begins where the sizes fit; lines that "
      "lie on each other cost about the same.</p>\n<div class=\"legend\">{}</div>\n"
      "<div class=\"charts\">\n{}{}{}{}</div>\n",
      keys,
      over_length(report, "Attention entries", "visible pairs",
                  [](const Complexity& c) { return static_cast<double>(c.entries.visible); }),
      over_length(report, "Training, for each token of the window", "FLOP per token",
                  [](const Complexity& c) { return c.training_per_token(); }),
      over_length(report, "Training memory of a window", "bytes",
                  [](const Complexity& c) { return c.activations_float32; }),
      over_length(report, "Cache while generating (latent architectures have none)", "bytes",
                  [](const Complexity& c) { return c.cache.bytes; }));
}

std::string pictures() {
  constexpr std::int64_t matrix_tokens = 32, field_tokens = 64, field_layers = 5;
  std::string matrices, fields;
  for (const PicturedModel& model : pictured_models(matrix_tokens, 3)) matrices += attention_matrices(model);
  for (const PicturedModel& model : pictured_models(field_tokens, field_layers))
    fields += receptive_field_picture(model);
  const std::string legend =
      "<p><span class=\"key s0\">rows that are trained</span> <span class=\"key s1\">history "
      "rows</span></p>\n";
  return fmt::format(
      "<h2>Which keys each row sees</h2>\n<p>As in the paper's Figure 1, drawn from what the models execute: "
      "{0} tokens, small sizes (blocks, segments and the compressed "
      "history "
      "of {1} rows, latents {2}, groups and windows of {3}). Queries go downward, keys to the right: a "
      "filled cell is a pair that attention computes. Where a row of the picture is empty, that row is a "
      "key only. In the last layer history rows are no queries, since nothing reads them.</p>\n{4}"
      "<div class=\"pictures\">\n{5}</div>\n"
      "<h2>How far back the last row reaches</h2>\n<p>As in the paper's Figure 6: {6} tokens to the right, "
      "layers downward, sizes in "
      "proportion to those above: the first line (orange) is the last "
      "token alone, each further one what it depends on after one layer more. Blocks pass information on, "
      "one "
      "block for each layer; shifted groups half a group.</p>\n"
      "<div class=\"wide pictures\">\n{7}</div>\n",
      matrix_tokens, matrix_tokens / 8, matrix_tokens / 2, matrix_tokens / 4, legend, matrices, field_tokens,
      fields);
}

/// Consecutive layers that cost the same are one row.
std::string layers(const CountedModel& model) {
  Table table("Layers", {"layers", "rows", "queries", "rows out", "visible", "dense", "GFLOP attention",
                         "GFLOP projections", "GFLOP feed-forward"});
  const auto& all = model.cost.layers;
  for (std::size_t first = 0; first < all.size();) {
    std::size_t last = first;
    const LayerCost& cost = all[first];
    while (last + 1 < all.size() && all[last + 1].like(cost)) ++last;
    table.row(first == last ? fmt::format("{}", first + 1) : fmt::format("{}–{}, each", first + 1, last + 1),
              cell(whole(cost.rows)) + cell(whole(cost.queries)) + cell(whole(cost.rows_out)) +
                  cell(whole(cost.entries.visible)) + cell(whole(cost.entries.dense)) +
                  cell(decimal(cost.flops.attention / 1e9, 3)) +
                  cell(decimal((cost.flops.projections + cost.flops.compression) / 1e9, 3)) +
                  cell(decimal(cost.flops.feed_forward / 1e9, 3)));
    first = last + 1;
  }
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", model.architecture, table.html());
}

std::string by_layer(const ComplexityReport& report) {
  std::string html =
      "<h2>Layer by layer</h2>\n<p>Forward. Compression along the sequence stands with the "
      "projections.</p>\n";
  for (const CountedModel& model : report.models) html += layers(model);
  return html;
}

std::string facts(const CountedModel& model) {
  const ModelConfig& config = model.config;
  std::string html = "<dl class=\"facts\">\n";
  const auto fact = [&](const char* name, const std::string& value) {
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", name, value);
  };
  fact("tokens of the window", whole(model.cost.length));
  fact("width", whole(config.dim));
  fact("layers", whole(config.layers));
  fact("heads", whole(config.heads));
  fact("vocabulary", config.vocab > 0 ? whole(config.vocab) : "not known");
  fact("preset", escape_html(config.preset));
  return html + "</dl>\n";
}

}  // namespace

std::vector<std::int64_t> drawn_lengths(std::int64_t n) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t divisor = 8; divisor > 1; divisor /= 2) {
    if (n % divisor == 0) lengths.push_back(n / divisor);
  }
  for (std::int64_t factor = 1; factor <= 64 && n * factor <= most_counted; factor *= 2)
    lengths.push_back(n * factor);
  return lengths;
}

std::string render_complexity(const ComplexityReport& report) {
  require(!report.models.empty(), "complexity: expected at least one model");
  const std::string name = escape_html(report.name);
  return html_page(
      report.name + " – complexity",
      fmt::format("<h1>{}</h1>\n<p class=\"quiet\">What each architecture costs at these sizes</p>\n", name) +
          facts(report.models[0]) + left_out(report) + paper(report) + costs(report) + charts(report) +
          pictures() + by_layer(report));
}

}  // namespace ecp
