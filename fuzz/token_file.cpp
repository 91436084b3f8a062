// A token file: the sidecar, followed by the .npy file (from its magic on).
#include "ecp/text/token_file.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  static const fuzz::Folder folder;
  const auto parts = fuzz::split(fuzz::text_of(data, size), "\x93NUMPY", true);
  folder.write("tokens.json", parts.first);
  folder.write("tokens.npy", parts.second);
  fuzz::accepted([&] {
    const TokenFile file(folder / "tokens.npy");
    fuzz::expect(file.size() > 0 && file.size() <= parts.second.size(), "as many tokens as the file holds");
    for (const std::uint64_t document : file.info().documents)
      fuzz::expect(document <= file.size(), "documents begin inside the file");
    std::vector<std::int64_t> ids(file.size());
    const bool read = fuzz::accepted([&] { file.read(0, ids); });
    for (std::uint64_t i = 0; read && i < file.size(); ++i)
      fuzz::expect(file[i] == ids[i] && ids[i] < file.info().vocab_size,
                   "ids are below the vocabulary's size");
    fuzz::expect(!fuzz::accepted([&] { (void)file[file.size()]; }), "nothing beyond the end");
    fuzz::accepted([&] { file.verify(); });
  });
  return 0;
}
