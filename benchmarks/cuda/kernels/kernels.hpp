// What the files of kernels have in common. Each registers its benchmarks before main: one kernel beside a copy on the
// GPU of as many bytes as the kernel must move, each input read once, each output written once (the table in
// docs/kernels.md).
#pragma once

#include <benchmark/benchmark.h>

#include "../beside_device.hpp"

namespace benchmarks {

inline constexpr std::int64_t kernel_iterations = 15, megabyte = 1 << 20, members = 10;

/// body(T(), "its name") for the types that networks are trained in.
template <class Body>
void for_each_type(const Body& body) {
  body(float(), std::string("fp32"));
  body(lpw::bfloat16(), std::string("bf16"));
}

/// Registers a kernel's benchmark, whose `body` is called once.
inline void add_kernel(const std::string& name, std::function<void(benchmark::State&)> body) {
  add_benchmark(name, kernel_iterations, std::move(body));
}

}  // namespace benchmarks
