// Plain networks as safetensors files that other programs read: PyTorch's names, convolution weights in PyTorch's order
// (OIHW).
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <lpw/io/finite.hpp>
#include <lpw/io/load_options.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI::io {

namespace detail {

/// A kernel's shape [O, kh, kw, I] -> [O, I, kh, kw], or [O, k, I] -> [O, I, k].
[[nodiscard]] inline Shape oihw(const Shape& kernel) {
  const Shape positions = kernel.slice(1, kernel.rank() - 1);
  return positions.prepend(kernel[-1]).prepend(kernel[0]);
}

/// [O, kh, kw, I] -> [O, I, kh, kw], or [O, k, I] -> [O, I, k].
template <class W>
[[nodiscard]] Tensor<W, Cpu> to_oihw(const Tensor<W, Cpu>& weight) {
  const std::int64_t outputs = weight.dim(0), inputs = weight.shape()[-1], pixels = weight.size() / (outputs * inputs);
  Tensor<W, Cpu> result(oihw(weight.shape()));
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t i = 0; i < inputs; ++i)
        result.data()[(o * inputs + i) * pixels + p] = weight.data()[(o * pixels + p) * inputs + i];
  return result;
}

/// The inverse of to_oihw, for a kernel [O, ..., I].
template <class W>
[[nodiscard]] Tensor<W, Cpu> from_oihw(const Tensor<W, Cpu>& weight, const Shape& kernel) {
  const std::int64_t outputs = kernel[0], inputs = kernel[-1], pixels = kernel.size() / (outputs * inputs);
  Tensor<W, Cpu> result(kernel);
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t i = 0; i < inputs; ++i)
        result.data()[(o * pixels + p) * inputs + i] = weight.data()[(o * inputs + i) * pixels + p];
  return result;
}

/// The weights that are stored as PyTorch's kernels are: what has the axes of an image, and dense weights that have
/// those of a sequence.
template <nn::Visitable M>
[[nodiscard]] std::set<const void*> kernels_of(M& network) {
  std::set<const void*> kernels;
  nn::for_each_parameter(network, [&](const std::string&, auto& parameter) {
    if (parameter.shape().rank() == 4) kernels.insert(parameter.id());
  });
  nn::for_each_dense_weight(network, [&](const std::string&, const auto& weight) {
    if (weight.shape().rank() == 3) kernels.insert(weight.id());
  });
  return kernels;
}

/// Throws OptionError for a network with late-phase weights, or weights that are no parameters: `cure` says what to do.
template <nn::Visitable M>
void require_plain(M& network, const char* function, const char* cure) {
  nn::for_each_dense_weight(network, [&](const std::string& name, const auto& weight) {
    require<OptionError>(weight.has_base(), function, ": '", name,
                         "' is made of templates, and the network plain only once it is collapsed");
  });
  const auto flat = nn::flatten(network);
  require<OptionError>(flat->members == 1 && flat->value.late.size() == 0, function, ": the network is released into ",
                       flat->members, " members; ", cure);
}

}  // namespace detail

/// Writes a plain network: every parameter and buffer under its name, in the type of the weights (float32, or float64
/// for double), with texts for the file's metadata. Throws OptionError for a network that is not plain, Error for one
/// whose running statistics belong to other weights, FileError if the file cannot be written.
template <nn::Visitable M>
void save_safetensors(const std::filesystem::path& path, M& network, std::map<std::string, std::string> metadata = {}) {
  detail::require_plain(network, "save_safetensors", "collapse it first");
  require(!nn::statistics_stale(network),
          "save_safetensors: the weights were averaged after the running statistics were gathered; call "
          "recompute_statistics first");
  Safetensors content{NamedTensors(path.string()), std::move(metadata)};
  content.metadata.emplace("format", "pt");
  const auto kernels = detail::kernels_of(network);
  const auto add = [&](const std::string& name, auto& member) {
    const auto value = to_host(member.value()).reshaped(member.shape());
    content.tensors.add(name, kernels.contains(member.id()) ? detail::to_oihw(value) : clone(value));
  };
  nn::for_each_parameter(network, add);
  nn::for_each_buffer(network, add);
  save_safetensors(path, content);
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
  requires(!std::is_same_v<M, Safetensors>)
auto save_safetensors(const std::filesystem::path&, M&, const std::map<std::string, std::string>& = {}) {
  return nn::detail::not_a_module<M>();
}

/// Reads such a file into a plain network of the same architecture, or of one that the options make it. Of tied
/// weights, which are one parameter under several names, the file may hold any. Throws FileError that lists what is
/// missing and left over, or names the tensor of another shape or type, or that holds what is not finite or a variance
/// below zero, or for a file of other classes than the options name; OptionError for a network that is not plain or a
/// name to skip that is none. The network is untouched then.
template <nn::Visitable M>
LoadReport load_safetensors(const std::filesystem::path& path, M& network, const LoadOptions& options = {}) {
  using W = nn::WeightOf<M>;
  using D = typename M::device_type;
  detail::require_plain(network, "load_safetensors", "load before release");
  const auto content = load_safetensors(path);
  if (!options.new_head) detail::require_classes(content, options);
  const auto kernels = detail::kernels_of(network);
  std::vector<detail::NetworkName> names;
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    const Shape shape = parameter.shape();
    names.push_back({name, parameter.id(), kernels.contains(parameter.id()) ? detail::oihw(shape) : shape,
                     parameter.group() == Group::head});
  });
  nn::for_each_buffer(network, [&](const std::string& name, auto& buffer) {
    names.push_back({name, buffer.id(), buffer.shape()});
  });
  const auto stored_names = detail::match_names(content, names, detail::with_head_skipped(content, names, options));

  std::map<std::string, Tensor<W, Cpu>> values;
  const auto read = [&](const std::string& name, auto& member) {
    const auto found = stored_names.find(name);
    if (found == stored_names.end()) return;  // skipped
    const Shape shape = member.shape();
    const bool kernel = kernels.contains(member.id());
    const Shape stored = kernel ? detail::oihw(shape) : shape;
    const NamedTensor& tensor = content.tensors.at(found->second);
    const auto require_same = [&](bool same, const char* cure) {
      require<FileError>(same, path.string(), ": tensor '", tensor.name, "' is ", tensor.dtype, " ", tensor.shape,
                         ", expected ", dtype_name<W>(), " ", stored, cure);
    };
    require_same(tensor.shape == stored, "; pass it over (skip) to keep the network's own");
    require_same(options.convert || tensor.dtype == dtype_name<W>(), "; ask for it to be converted (convert)");
    values[name] = content.tensors.get_converted<W>(tensor.name, stored);
    if (kernel) values[name] = detail::from_oihw(values[name], shape);
    require_finite(tensor, path.string());
    require_variance(name, values[name], path.string());
  };
  nn::for_each_parameter(network, read);
  nn::for_each_buffer(network, read);
  const auto write = [&](const std::string& name, auto& member) {
    const auto found = values.find(name);
    if (found == values.end()) return false;
    copy(to_device<D>(found->second.reshaped(member.shape().prepend(1))), member.value());
    return true;
  };
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) { write(name, parameter); });
  nn::for_each_buffer(network, [&](const std::string& name, auto& buffer) {
    if (write(name, buffer)) buffer.set_stale(false);
  });
  return detail::report_of(content, names, stored_names);
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto load_safetensors(const std::filesystem::path&, M&, const LoadOptions& = {}) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI::io
