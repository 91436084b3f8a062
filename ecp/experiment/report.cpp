#include "ecp/experiment/report.h"

#include <fmt/core.h>

#include "ecp/experiment/curves.h"
#include "ecp/experiment/html.h"
#include "ecp/experiment/page.h"
#include "ecp/experiment/tables.h"

namespace ecp {
namespace {

constexpr std::size_t most_samples = 40;  // shown of each run

std::string sample_quote(const Sample& sample) {
  return fmt::format("<blockquote><span class=\"quiet\">{}</span>{}</blockquote>\n",
                     escape_html(sample.prompt), escape_html(sample.text));
}

std::string samples_of(const Run& run, bool open_last) {
  std::string html;
  if (!run.sample.empty()) html += fmt::format("<blockquote>{}</blockquote>\n", escape_html(run.sample));
  const auto& all = run.log.samples;
  const std::size_t each = (all.size() + most_samples - 1) / most_samples;
  for (std::size_t i = all.empty() ? 0 : (all.size() - 1) % each; i < all.size(); i += each) {
    const bool open = open_last && i + 1 == all.size() && run.sample.empty();
    html += fmt::format("<details{}><summary>after {} steps</summary>\n{}</details>\n", open ? " open" : "",
                        grouped(static_cast<double>(all[i].step)), sample_quote(all[i]));
  }
  if (each > 1)
    html = fmt::format("<p class=\"quiet\">{} samples, each {}. shown</p>\n", all.size(), each) + html;
  return html;
}

std::string samples_section(const std::vector<Run>& runs) {
  std::string html;
  for (const Run& run : runs) {
    const std::string samples = samples_of(run, true);
    if (samples.empty()) continue;
    html += runs.size() == 1 ? samples : fmt::format("<h3>{}</h3>\n{}", escape_html(run.name), samples);
  }
  return html.empty() ? "" : "<h2>Samples</h2>\n" + html;
}

std::string pairs(const Facts& facts, const std::string& title) {
  std::string html =
      fmt::format("<details><summary>{}</summary>\n<table class=\"pairs\">\n", escape_html(title));
  for (const auto& [name, value] : facts.rows) {
    html += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(name), escape_html(value));
  }
  return html + "</table></details>\n";
}

std::string details_section(const std::vector<Run>& runs) {
  std::string html;
  for (const Run& run : runs) {
    std::string one;
    for (const Facts& section : run.config) one += pairs(section, fmt::format("[{}]", section.section));
    for (const Facts& facts : run.facts) one += pairs(facts, facts.section);
    if (one.empty()) continue;
    html += runs.size() == 1 ? one : fmt::format("<h3>{}</h3>\n{}", escape_html(run.name), one);
  }
  return html.empty() ? "" : "<h2>Configuration and facts</h2>\n" + html;
}

std::string notes(const std::vector<Run>& runs) {
  std::string html;
  for (const Run& run : runs) {
    for (const std::string& note : run.notes)
      html += fmt::format("<p class=\"note\">{}: {}</p>\n", escape_html(run.name), escape_html(note));
  }
  return html;
}

}  // namespace

std::string render_report(const std::vector<Run>& runs) {
  const bool several = runs.size() > 1;
  const std::string name = several ? fmt::format("{} runs", runs.size()) : runs[0].name;
  const std::string body = fmt::format("<h1>{}</h1>\n<p class=\"quiet\">{}</p>\n", escape_html(name),
                                       several ? "Comparison of training runs" : "Training report") +
                           notes(runs) + summary_section(runs) + curves_section(runs) +
                           evaluations_section(runs) + settings_section(runs) + samples_section(runs) +
                           events_section(runs) + details_section(runs);
  return html_page(name + " – training report", body);
}

}  // namespace ecp
