#include "ecp/experiment/probe_curve.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "ecp/experiment/chart.h"
#include "ecp/experiment/html.h"
#include "ecp/experiment/page.h"

namespace ecp {
namespace {

std::string picture(const ProbeCurve& curve) {
  Chart chart{.title = "Accuracy by distance",
              .x_label = curve.distance_means,
              .y_label = "% right",
              .from_zero = true};
  Series answers{"answers", {}}, whole{"whole examples", {}}, chance{"guessing", {}};
  for (const ProbePoint& point : curve.points) {
    const auto x = static_cast<double>(point.distance);
    answers.points.emplace_back(x, 100 * point.accuracy);
    whole.points.emplace_back(x, 100 * point.whole);
    chance.points.emplace_back(x, 100 * curve.chance);
  }
  answers.markers = curve.points.size() <= 60;
  const bool several = curve.points.front().answers > curve.points.front().examples;
  chart.series.push_back(std::move(answers));
  if (several) chart.series.push_back(std::move(whole));
  chart.series.push_back(std::move(chance));
  if (curve.reach >= curve.points.front().distance && curve.reach <= curve.points.back().distance)
    chart.marks.push_back({static_cast<double>(curve.reach), fmt::format("reach {}", curve.reach)});
  return "<div class=\"charts\">\n" + render(chart) + "</div>\n";
}

std::string number(const std::string& text) { return fmt::format("<td class=\"number\">{}</td>", text); }

std::string table(const ProbeCurve& curve) {
  std::string rows =
      "<tr><th scope=\"col\">distance</th><th scope=\"col\" class=\"number\">answers right, %</th>"
      "<th scope=\"col\" class=\"number\">whole examples, %</th><th scope=\"col\" class=\"number\">nats per "
      "answer</th><th scope=\"col\" class=\"number\">examples</th></tr>\n";
  for (const ProbePoint& point : curve.points) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th>{}{}{}{}</tr>\n", point.distance,
                        number(decimal(100 * point.accuracy, 1)), number(decimal(100 * point.whole, 1)),
                        number(decimal(point.loss, 4)), number(grouped(static_cast<double>(point.examples))));
  }
  return scrolling_table("Accuracy by distance", rows);
}

}  // namespace

nlohmann::ordered_json to_json(const ProbeCurve& curve) {
  nlohmann::ordered_json points = nlohmann::ordered_json::array();
  for (const ProbePoint& point : curve.points)
    points.push_back({{"distance", point.distance},
                      {"loss", point.loss},
                      {"accuracy", point.accuracy},
                      {"whole", point.whole},
                      {"answers", point.answers},
                      {"examples", point.examples}});
  return {{"architecture", curve.architecture},
          {"layers", curve.layers},
          {"probe", curve.probe},
          {"chance", curve.chance},
          {"reach", curve.reach},
          {"points", std::move(points)}};
}

std::string probe_page(const ProbeCurve& curve) {
  const std::string title = fmt::format("{} of {} layers: {}", curve.architecture, curve.layers, curve.probe);
  return html_page(
      title,
      fmt::format("<h1>{}</h1>\n<p>Distance: {}. The last row of this model can see {} tokens back through "
                  "its layers, as far as the dotted line; what stands farther away can't reach it. Guessing "
                  "gets {} % right.</p>\n{}{}",
                  escape_html(title), escape_html(curve.distance_means), curve.reach,
                  decimal(100 * curve.chance, 1), picture(curve), table(curve)));
}

}  // namespace ecp
