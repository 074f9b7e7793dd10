// Exceptions. Every message says what was expected, what was found and where, in one line; programs print it as it is.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <lpw/tensor/text.hpp>

namespace lpw::inline LPW_ABI {

/// Base of everything lpw throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Tensors whose shapes do not fit together.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// An option or option combination that cannot work.
class OptionError : public Error {
 public:
  using Error::Error;
};

/// A file that is missing, unreadable, truncated or damaged. The message starts with its path.
class FileError : public Error {
 public:
  using Error::Error;
};

/// Memory could not be allocated.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// A variable was used after the tape it was recorded on had been cleared.
class TapeError : public Error {
 public:
  using Error::Error;
};

/// A loss or weight became infinite or NaN.
class NonFinite : public Error {
 public:
  using Error::Error;
};

/// Throws E with a message made of all parts.
template <class E = Error, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw E(to_text(parts...));
}

/// Throws E with a message made of all parts unless `condition` holds.
template <class E = Error, class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail<E>(parts...);
}

}  // namespace lpw::inline LPW_ABI
