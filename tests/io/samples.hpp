// Tensors of every element type and rank, for the tests of both file formats.
#pragma once

#include <cstdint>
#include <string>

#include <lpw/io/named_tensors.hpp>

#include "catch.hpp"

/// Distinct values, exact in every element type.
template <class T>
lpw::Tensor<T, lpw::Cpu> sample(const lpw::Shape& shape) {
  lpw::Tensor<T, lpw::Cpu> tensor(shape);
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    tensor.data()[i] = static_cast<T>(static_cast<float>(i % 100 + shape.rank()));
  return tensor;
}

/// Shapes of rank 0 to 6, with and without a zero extent, in the element type T.
template <class T>
void add_samples(lpw::io::NamedTensors& tensors) {
  const lpw::Shape shapes[] = {
      {}, {3}, {0}, {2, 3}, {2, 0, 3}, {2, 1, 3}, {2, 3, 1, 2}, {1, 2, 3, 2, 1}, {2, 1, 2, 1, 2, 3}};
  for (const auto& shape : shapes)
    tensors.add(std::string(lpw::dtype_name<T>()) + " " + describe(shape), sample<T>(shape));
}

inline lpw::io::NamedTensors every_sample() {
  lpw::io::NamedTensors tensors;
  add_samples<lpw::bfloat16>(tensors);  // narrow types before wide ones, whose data then start anywhere
  add_samples<std::uint8_t>(tensors);
  add_samples<float>(tensors);
  add_samples<double>(tensors);
  add_samples<std::int32_t>(tensors);
  add_samples<std::int64_t>(tensors);
  tensors.add("names may hold \"quotes\", \\ and \u00fc", sample<float>({1}));
  return tensors;
}

inline void check_equal(const lpw::io::NamedTensors& found, const lpw::io::NamedTensors& expected) {
  REQUIRE(found.size() == expected.size());
  for (const auto& tensor : expected) {
    INFO(tensor.name);
    REQUIRE(found.contains(tensor.name));
    const auto& other = found.at(tensor.name);
    CHECK(other.dtype == tensor.dtype);
    CHECK(other.shape == tensor.shape);
    CHECK(std::equal(other.data.begin(), other.data.end(), tensor.data.begin(), tensor.data.end()));
  }
}
