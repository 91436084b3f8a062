#include "ecp/text/deduplication.h"

#include <algorithm>
#include <utility>

namespace ecp {

std::size_t HashSet::place_of(Hash128 hash) const {
  std::size_t place = hash.low & (slots_.size() - 1);
  while (slots_[place] != Hash128{} && slots_[place] != hash) place = (place + 1) & (slots_.size() - 1);
  return place;
}

void HashSet::grow() {
  const std::vector<Hash128> old =
      std::exchange(slots_, std::vector<Hash128>(std::max<std::size_t>(1024, 2 * slots_.size())));
  for (const Hash128 hash : old) {
    if (hash != Hash128{}) slots_[place_of(hash)] = hash;
  }
}

bool HashSet::insert(Hash128 hash) {
  if (hash == Hash128{}) hash.low = 1;
  if (5 * (size_ + 1) > 4 * slots_.size()) grow();
  Hash128& slot = slots_[place_of(hash)];
  if (slot == hash) return false;
  slot = hash;
  ++size_;
  return true;
}

}  // namespace ecp
