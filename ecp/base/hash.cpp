#include "ecp/base/hash.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <new>

namespace ecp {
namespace {

std::string to_text(XXH128_hash_t hash) { return fmt::format("{:016x}{:016x}", hash.high64, hash.low64); }

}  // namespace

struct Hasher::State {
  XXH3_state_t* value = XXH3_createState();
  ~State() { XXH3_freeState(value); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  if (state_->value == nullptr) throw std::bad_alloc();
  reset();
}

Hasher::Hasher(const Hasher& other) : Hasher() { *this = other; }

Hasher& Hasher::operator=(const Hasher& other) {
  if (this != &other) XXH3_copyState(state_->value, other.state_->value);
  return *this;
}

Hasher::~Hasher() = default;

void Hasher::update(const void* bytes, std::size_t count) {
  XXH3_128bits_update(state_->value, bytes, count);
}

void Hasher::reset() { XXH3_128bits_reset(state_->value); }

Hash128 Hasher::value() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->value);
  return {hash.high64, hash.low64};
}

std::string Hasher::digest() const { return to_text(XXH3_128bits_digest(state_->value)); }

std::string hash_bytes(std::string_view bytes) { return to_text(XXH3_128bits(bytes.data(), bytes.size())); }

std::string hash_file(const Path& path) {
  const MappedFile file(path);
  return hash_bytes(file.text());
}

}  // namespace ecp
