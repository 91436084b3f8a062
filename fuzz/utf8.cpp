// Where text may be cut, and words counted in pieces; a stream of characters, and of text up to stop strings.
#include "ecp/text/utf8.h"

#include "ecp/runtime/text_stream.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  if (size == 0) return 0;
  const std::string_view input = fuzz::text_of(data, size).substr(1);
  const std::size_t cut = std::min<std::size_t>(data[0], input.size());

  WordCounter whole(data[0] % 2 == 0), pieces(data[0] % 2 == 0);
  whole.add(input);
  whole.end_document();
  pieces.add(input.substr(0, cut));
  pieces.add(input.substr(cut));
  pieces.end_document();
  fuzz::expect(whole.words() == pieces.words(), "words don't depend on where text is cut");

  const Utf8Prefix prefix = utf8_prefix(input);
  fuzz::expect(prefix.length <= input.size() && is_utf8(input.substr(0, prefix.length)),
               "the prefix is UTF-8");
  const std::size_t boundary = last_segment_boundary(input);
  std::size_t at = 0;
  while (at < boundary) at += next_segment(input.substr(at));
  fuzz::expect(at == boundary, "segments end at the boundary");

  runtime::Utf8Assembler one, two;
  std::string first = one.push(input) + one.finish(), second = two.push(input.substr(0, cut));
  second += two.push(input.substr(cut));
  second += two.finish();
  fuzz::expect(is_utf8(first) && first == second, "a stream is UTF-8, however it is cut");
  fuzz::expect(prefix.length != input.size() || first == input, "UTF-8 passes unchanged");

  const std::vector<std::string> stops = {std::string(input.substr(0, cut)), "aab"};
  if (cut == 0) return 0;
  runtime::StopMatcher stop(stops), slow(stops);
  first = stop.push(input.substr(cut)) + stop.finish();
  second.clear();
  for (const char c : input.substr(cut)) second += slow.push({&c, 1});
  second += slow.finish();
  fuzz::expect(first == second, "stops don't depend on how text is cut");
  return 0;
}
