// Networks as ONNX files, which onnxruntime, OpenVINO, TensorRT and others run. There is no second forward pass to be
// kept true: the network's own is traced (autograd/trace.hpp), and each operation becomes the operators that compute
// it. A network of one's own is exported as those here are.
//
// A plain network is a plain graph. A released one is a graph with all its members, which has what they share once and
// ends in the mean of their predictions.
#pragma once

#include <filesystem>

#include <lpw/io/onnx/graph.hpp>
#include <lpw/io/onnx/networks.hpp>
#include <lpw/io/onnx/wire.hpp>

namespace lpw::inline LPW_ABI::io {

/// Writes what `pass` computes with the network's present weights, released or not, as float32 numbers. The function
/// is called as pass(OnnxPass<Device>&), twice for each member, and names inputs and outputs:
///
///     io::save_onnx("pairs.onnx", network, [&](auto& pass) {
///       const auto a = pass.template input<float>("a", {"batch", 3});
///       const auto b = pass.template input<float>("b", {"batch", 3});
///       pass.output("distance", network.forward(a, b));
///     });
///
/// Throws OptionError for operations that have no form in ONNX here, or that depend on sizes which the inputs leave
/// open; Error in a program that was built without ONNX, for running statistics that belong to other weights, or where
/// other processes hold some of the members; FileError if the file cannot be written, or would be larger than 2 GiB.
template <nn::Visitable M, onnx::PassFunction<typename M::device_type> Pass>
void save_onnx(const std::filesystem::path& path, M& network, Pass&& pass, const OnnxOptions& options = {}) {
  onnx::require_compiled(path.string());
  auto passes = onnx::list_passes(network, pass);
  onnx::save(path, onnx::make_model(passes, options));
}

/// The same of a network that takes one input, `input`, whose samples have that shape, in lpw's order: [H, W, C] of
/// images, which go in as [batch, C, H, W] unless the options say otherwise. Results [K, B, classes] are `logits`, with
/// `probabilities` beside them; others are `output`.
template <nn::Module M>
void save_onnx(const std::filesystem::path& path, M& network, const Shape& sample, const OnnxOptions& options = {}) {
  onnx::require_compiled(path.string());
  auto passes = onnx::list_passes(network, sample);
  onnx::save(path, onnx::make_model(passes, options));
}

/// The same of a language model: `symbols` [steps, batch] and the states before, `hidden_l0` and `cell_l0`
/// [batch, hidden] of each layer, to `logits` [steps, batch, vocabulary], `probabilities` and the states after,
/// `hidden_l0_after` and so on. Each member has states of its own: `members.0.hidden_l0`.
template <onnx::Recurrent M>
void save_onnx(const std::filesystem::path& path, M& network, const OnnxOptions& options = {}) {
  onnx::require_compiled(path.string());
  auto passes = onnx::list_passes(network);
  onnx::save(path, onnx::make_model(passes, options));
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto save_onnx(const std::filesystem::path&, M&, const OnnxOptions& = {}) {
  return nn::detail::not_a_module<M>();
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto save_onnx(const std::filesystem::path&, M&, auto&&, const OnnxOptions& = {}) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI::io
