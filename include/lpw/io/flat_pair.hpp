// What lies in the form of a network's stores (weights, momenta, averages), on its way into a file and back.
#pragma once

#include <algorithm>
#include <string>

#include <lpw/io/named_tensors.hpp>
#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI::io {

/// Adds a pair of stores as <name>.base and <name>.late.
template <class W, class D>
void add_pair(NamedTensors& tensors, const std::string& name, const nn::FlatPair<W, D>& pair) {
  tensors.add(name + ".base", to_host(pair.base));
  tensors.add(name + ".late", to_host(pair.late));
}

/// Whether any number of a pair is not zero, which NaN is not.
template <class W, class D>
[[nodiscard]] bool any_of(const nn::FlatPair<W, D>& pair) {
  const auto any = [](const Tensor<W, Cpu>& store) {
    return std::any_of(store.data(), store.data() + store.size(), [](W x) { return !(x == W(0)); });
  };
  return any(to_host(pair.base)) || any(to_host(pair.late));
}

/// Throws FileError where <name>.base and <name>.late are missing or of another type or other shapes.
template <class W>
void require_pair(const NamedTensors& tensors, const std::string& name, const Shape& base, const Shape& late) {
  tensors.require_form<W>(name + ".base", base);
  tensors.require_form<W>(name + ".late", late);
}

/// Copies <name>.base and <name>.late into a pair. Throws FileError where they are missing or of other shapes.
template <class W, class D>
void get_pair(const NamedTensors& tensors, const std::string& name, nn::FlatPair<W, D>& pair) {
  copy(to_device<D>(tensors.get<W>(name + ".base", pair.base.shape())), pair.base);
  copy(to_device<D>(tensors.get<W>(name + ".late", pair.late.shape())), pair.late);
}

}  // namespace lpw::inline LPW_ABI::io
