#include "ecp/experiment/comparison_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "ecp/experiment/chart.h"
#include "ecp/experiment/comparison_tables.h"
#include "ecp/experiment/html.h"
#include "ecp/experiment/page.h"

namespace ecp {
namespace {

std::string class_of(const ReportColumn& column) { return column.number ? " class=\"number\"" : ""; }

std::string html_of(const ReportTable& table) {
  if (table.rows.empty()) return "";
  std::string rows = "<tr>";
  for (const ReportColumn& column : table.columns)
    rows += fmt::format("<th scope=\"col\"{}>{}</th>", class_of(column), escape_html(column.name));
  rows += "</tr>\n";
  for (const ReportRow& row : table.rows) {
    std::string name = escape_html(row.cells.front().text);
    if (row.series) name = fmt::format("<span class=\"key {}\">{}</span>", series_class(*row.series), name);
    rows += fmt::format("<tr><th scope=\"row\">{}</th>", name);
    for (std::size_t i = 1; i < row.cells.size(); ++i) {
      const ReportCell& cell = row.cells[i];
      const std::string text = escape_html(cell.text);
      rows +=
          fmt::format("<td{}>{}</td>", class_of(table.columns[i]), cell.best ? "<b>" + text + "</b>" : text);
    }
    rows += "</tr>\n";
  }
  const std::string title = escape_html(table.title);
  std::string html = fmt::format("<h2>{}</h2>\n{}", title, scrolling_table(title, rows));
  for (const std::string& remark : table.remarks)
    html += fmt::format("<p class=\"quiet\">{}</p>\n", escape_html(remark));
  return html;
}

/// Text that Markdown would take for marks, made plain.
std::string escape_markdown(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (std::string_view("\\`*_[]<>|#~").find(c) != std::string_view::npos) result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

std::string markdown_of(const ReportTable& table) {
  if (table.rows.empty()) return "";
  std::string text = fmt::format("\n## {}\n\n|", escape_markdown(table.title)), rule = "|";
  for (const ReportColumn& column : table.columns) {
    text += fmt::format(" {} |", escape_markdown(column.name));
    rule += column.number ? " ---: |" : " --- |";
  }
  text += "\n" + rule + "\n";
  for (const ReportRow& row : table.rows) {
    text += "|";
    for (const ReportCell& cell : row.cells) {
      const std::string shown = escape_markdown(cell.text);
      text += cell.best ? fmt::format(" **{}** |", shown) : fmt::format(" {} |", shown);
    }
    text += "\n";
  }
  for (const std::string& remark : table.remarks) text += "\n" + escape_markdown(remark) + "\n";
  return text;
}

using Curve = std::vector<ValidationPoint>;

/// Validation loss of all models over what `x` says of a point.
template <class X>
std::string chart(const Comparison& comparison, const std::vector<Curve>& curves, const std::string& title,
                  const std::string& x_label, X x) {
  Chart chart{.title = title, .x_label = x_label, .y_label = "nats per token", .legend = false};
  double least = INFINITY, most = 0;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    Series series{comparison.plan.models[i].name, {}};
    for (const ValidationPoint& point : curves[i]) {
      series.points.emplace_back(x(point), point.loss);
      least = std::fmin(least, point.loss);
      most = std::fmax(most, point.loss);
    }
    series.markers = series.points.size() <= 30;
    chart.series.push_back(std::move(series));
  }
  // A run that diverges would press the others into one line.
  if (least > 0 && most > 50 * least) {
    chart.log_y = true;
    chart.y_label += ", log scale";
  }
  return render(chart);
}

std::string curves(const Comparison& comparison) {
  constexpr double long_time = 600;  // seconds
  std::vector<Curve> all;
  double seconds = 0;
  for (std::size_t i = 0; i < comparison.models.size(); ++i) {
    all.push_back(validation_curve(comparison, i));
    if (!all.back().empty()) seconds = std::fmax(seconds, all.back().back().seconds);
  }
  const bool minutes = seconds > long_time;
  const std::string charts =
      chart(comparison, all, "Validation loss over tokens", "tokens processed",
            [](const ValidationPoint& point) { return point.tokens; }) +
      chart(comparison, all, "Validation loss over time",
            minutes ? "minutes of training" : "seconds of training",
            [&](const ValidationPoint& point) { return point.seconds / (minutes ? 60 : 1); });
  if (charts.empty()) return "";
  std::string legend = "<p class=\"legend\">\n";
  for (std::size_t i = 0; i < comparison.models.size(); ++i)
    legend += fmt::format("<span class=\"key {}\">{}</span>\n", series_class(i),
                          escape_html(comparison.plan.models[i].name));
  const char* mean = comparison.plan.seeds.size() > 1 ? "<p class=\"quiet\">Mean of the seeds.</p>\n" : "";
  return "<h2>Curves</h2>\n" + legend + "</p>\n" + mean + "<div class=\"charts\">\n" + charts + "</div>\n";
}

/// Tables after the results, in the order of the report.
std::vector<ReportTable> details(const Comparison& comparison) {
  return {models_table(comparison), training_table(comparison), validation_table(comparison),
          differing_table(comparison), runs_table(comparison)};
}

}  // namespace

std::string comparison_html(const Comparison& comparison) {
  const std::string title = comparison_title(comparison);
  std::string body = fmt::format("<h1>{}</h1>\n", title);
  for (const std::string& sentence : comparison_setup(comparison))
    body += fmt::format("<p class=\"quiet\">{}</p>\n", escape_html(sentence));
  for (const std::string& note : comparison.notes)
    body += fmt::format("<p class=\"note\">{}</p>\n", escape_html(note));
  for (std::size_t text = 0; text < comparison.plan.texts.size(); ++text)
    body += html_of(results_table(comparison, text));
  body += curves(comparison);
  for (const ReportTable& table : details(comparison)) body += html_of(table);
  return html_page(title, body);
}

std::string comparison_markdown(const Comparison& comparison) {
  std::string text = fmt::format("# {}\n", comparison_title(comparison));
  for (const std::string& sentence : comparison_setup(comparison))
    text += "\n" + escape_markdown(sentence) + "\n";
  if (!comparison.notes.empty()) text += "\n";
  for (const std::string& note : comparison.notes) text += fmt::format("- **{}**\n", escape_markdown(note));
  for (std::size_t i = 0; i < comparison.plan.texts.size(); ++i)
    text += markdown_of(results_table(comparison, i));
  for (const ReportTable& table : details(comparison)) text += markdown_of(table);
  return text;
}

void write_comparison(const Comparison& comparison) {
  const Path& folder = comparison.plan.folder;
  write_file(folder / "comparison.html", comparison_html(comparison));
  write_file(folder / "comparison.md", comparison_markdown(comparison));
  write_file(folder / "comparison.json", comparison_json(comparison));
}

}  // namespace ecp
