// Computes what a network of the catalogue makes of images, for image_network.py to compare with torchvision's:
//   image_network NAME CLASSES MODEL IN OUT
// MODEL holds torchvision's weights, IN images [B, H, W, 3] and labels [B]; OUT is a safetensors file with `features`
// and `logits` in evaluation, in double and, behind `float.`, in float; and in double `loss` and `training_logits` by
// the minibatch's statistics, and under their names the gradients and the running statistics after that. In a build
// with ONNX, OUT.onnx is the network as a graph, OUT.folded.onnx the same with its batch norms folded, and
// OUT.members.onnx, channels last, it with two members, whose mean prediction is `members`.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/io/model.hpp>
#include <lpw/io/onnx.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/catalogue.hpp>

using namespace lpw;

namespace {

template <class T>
using Network = nn::ImageNetwork<T, Cpu>;

/// As a parameter's value, in PyTorch's order.
void add_in_order(io::NamedTensors& tensors, const std::string& name, const Shape& shape,
                  const Tensor<double, Cpu>& value) {
  const auto own = value.reshaped(shape);
  tensors.add(name, shape.rank() == 4 ? io::detail::to_oihw(own) : clone(own));
}

/// A tensor of the file as that of one member, of float32 in any case.
template <class T>
Tensor<T, Cpu> member(const io::Safetensors& content, const std::string& name) {
  const Shape shape = content.tensors.at(name).shape;
  return content.tensors.get_converted<T>(name, shape).reshaped(shape.prepend(1));
}

template <class T>
void add_evaluation(io::NamedTensors& tensors, Network<T>& network, const Tensor<T, Cpu>& images,
                    const std::string& prefix) {
  const Tape tape = Tape::evaluation();
  const auto add = [&](const char* name, const Variable<T, Cpu>& found) {
    const auto value = found.value();
    tensors.add(prefix + name, value.reshaped(value.shape().slice(1, 3)));
  };
  add("features", network.features(tape.input(images)));
  add("logits", network.forward(tape.input(images)));
}

void add_training(io::NamedTensors& tensors, Network<double>& network, const Tensor<double, Cpu>& images,
                  const Tensor<std::int32_t, Cpu>& labels) {
  nn::flatten(network);
  Tape tape;
  const auto logits = network.forward(tape.input(images));
  const auto loss = cross_entropy(logits, labels);
  tensors.add("training_logits", logits.value().reshaped(logits.shape().slice(1, 3)));
  tensors.add("loss", clone(loss.value()));
  tape.backward(loss);
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    add_in_order(tensors, name, parameter.shape(), parameter.gradient());
  });
  nn::for_each_buffer(network, [&](const std::string& name, auto& buffer) {
    add_in_order(tensors, name, buffer.shape(), buffer.value());
  });
}

/// Of two members that differ in their batch norms and heads.
void add_members(io::NamedTensors& tensors, Network<float>& network, const Tensor<float, Cpu>& images,
                 const std::string& file) {
  release(network, {.members = 2, .late = Group::batch_norm | Group::head, .sigma = 0.1});
  tensors.add("members", predict_ensemble(network, images));
  if (io::onnx::compiled) io::save_onnx(file, network, images.shape().slice(2, 5), {.channels_first = false});
}

template <class T>
Network<T> load(const std::string& name, const std::string& classes, const std::string& model) {
  auto network = models::make<T, Cpu>(name, {.classes = std::stoll(classes)}, Philox(1));
  io::load_safetensors(model, network, {.convert = true});
  return network;
}

void compute(const std::vector<std::string>& arguments) {
  require(arguments.size() == 5, "usage: image_network NAME CLASSES MODEL IN OUT");
  const auto content = io::load_safetensors(arguments[3]);
  io::Safetensors result;
  auto rounded = load<float>(arguments[0], arguments[1], arguments[2]);
  const auto seen = member<float>(content, "images");
  add_evaluation(result.tensors, rounded, seen, "float.");
  for (const bool folded : {false, true})
    if (io::onnx::compiled)
      io::save_onnx(arguments[4] + (folded ? ".folded.onnx" : ".onnx"), rounded, seen.shape().slice(2, 5),
                    {.fold_batch_norm = folded});
  add_members(result.tensors, rounded, seen, arguments[4] + ".members.onnx");
  auto network = load<double>(arguments[0], arguments[1], arguments[2]);
  const auto images = member<double>(content, "images");
  add_evaluation(result.tensors, network, images, "");
  add_training(result.tensors, network, images, member<std::int32_t>(content, "labels"));
  io::save_safetensors(arguments[4], result);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    compute({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
