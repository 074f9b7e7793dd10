// What --export writes: a network in a file of its own, of the kind that its name says.
#pragma once

#include <map>
#include <string>
#include <utility>

#include <lpw/io/model.hpp>
#include <lpw/io/onnx/networks.hpp>
#include <lpw/io/onnx/options.hpp>

namespace example {

/// Texts that stand in the file.
using Metadata = std::map<std::string, std::string>;

/// What an example says of the network that it exports: what the file notes, and the shape of a sample, [] of text.
struct Exported {
  Metadata about;
  lpw::Shape sample;
};

/// Writes traced passes, in a translation unit that all programs share.
void write_onnx(const std::string& file, lpw::io::onnx::Passes& passes, Metadata about);

/// Writes the network, which takes samples of that shape, or the symbols of a language model. Throws FileError, and
/// OptionError for what the file cannot hold: in safetensors a network with members.
template <class Network>
void export_network(const std::string& file, Network& network, [[maybe_unused]] const lpw::Shape& sample,
                    Metadata about) {
  if (!file.ends_with(".onnx")) return lpw::io::save_safetensors(file, network, std::move(about));
  auto passes = [&] {
    if constexpr (lpw::io::onnx::Recurrent<Network>) {
      return lpw::io::onnx::list_passes(network);
    } else {
      return lpw::io::onnx::list_passes(network, sample);
    }
  }();
  write_onnx(file, passes, std::move(about));
}

}  // namespace example
