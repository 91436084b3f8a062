// The text and the tables of a comparison's report, before they become HTML or Markdown.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ecp/experiment/comparison.h"

namespace ecp {

struct ReportCell {
  std::string text;
  bool best = false;
};

struct ReportColumn {
  std::string name;
  bool number = false;
};

struct ReportRow {
  std::vector<ReportCell> cells;      // as many as columns; the first names the row
  std::optional<std::size_t> series;  // the model's number, for its colour
};

struct ReportTable {
  std::string title;
  std::vector<ReportColumn> columns;
  std::vector<ReportRow> rows;
  std::vector<std::string> remarks;  // below
};

/// "Comparison of 3 models".
std::string comparison_title(const Comparison& comparison);
/// What was trained, what was scored and how, on which machine: sentences.
std::vector<std::string> comparison_setup(const Comparison& comparison);
/// The results on one text, best model first.
ReportTable results_table(const Comparison& comparison, std::size_t text);
ReportTable models_table(const Comparison& comparison);
ReportTable training_table(const Comparison& comparison);
/// Validation loss at some points of the training; no rows where there is none.
ReportTable validation_table(const Comparison& comparison);
/// No rows where all settings are the same.
ReportTable differing_table(const Comparison& comparison);
ReportTable runs_table(const Comparison& comparison);

/// A model's validation loss, mean of its seeds.
struct ValidationPoint {
  std::int64_t step = 0;
  double tokens = 0, seconds = 0, loss = 0;
};
std::vector<ValidationPoint> validation_curve(const Comparison& comparison, std::size_t model);

}  // namespace ecp
