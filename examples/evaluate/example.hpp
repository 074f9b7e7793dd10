// What the evaluation is made of, for the files that offer it.
#pragma once

#include "options.hpp"

namespace evaluate {

template <class T, class Device>
class Program;

struct Example {
  using Options = evaluate::Options;
  template <class T, class Device>
  using Program = evaluate::Program<T, Device>;
};

}  // namespace evaluate
