// Networks as ONNX files, read again field by field: nodes, names, shapes and numbers, and what is refused. What they
// compute is for tests/interop/onnx_model.py, by onnxruntime.
#include <lpw/io/onnx.hpp>

#include <fstream>
#include <set>

#include <protozero/pbf_reader.hpp>

#include <lpw/autograd/elementwise_loss.hpp>
#include <lpw/autograd/permute.hpp>
#include <lpw/autograd/slice.hpp>
#include <lpw/autograd/sums.hpp>
#include <lpw/io/model.hpp>
#include <lpw/models/language_model.hpp>

#include "catch.hpp"
#include "support/files.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace io = lpw::io;
namespace onnx = lpw::io::onnx;

namespace {

using Strings = std::vector<std::string>;

/// A tensor of a file: extents and numbers.
struct StoredArray {
  std::vector<std::int64_t> dims;
  std::vector<float> values;
};

/// What a file holds, as its bytes say.
struct StoredModel {
  std::int64_t ir_version = 0, opset = 0;
  std::string producer;
  std::vector<onnx::Node> nodes;
  std::map<std::string, StoredArray> arrays;
  std::map<std::string, Strings> inputs, outputs;  // extents, of which some have names
  std::map<std::string, std::string> metadata;

  [[nodiscard]] std::int64_t count(const std::string& type) const {
    return std::count_if(nodes.begin(), nodes.end(), [&](const auto& node) { return node.type == type; });
  }
  [[nodiscard]] const onnx::Node& node(const std::string& name) const {
    for (const auto& each : nodes)
      if (each.name == name) return each;
    FAIL("no node " << name);
    return nodes.front();
  }
};

/// Calls f(field) for each field of a message.
template <class F>
void read_fields(protozero::pbf_reader message, F&& f) {
  while (message.next()) f(message);
}

std::pair<std::string, onnx::AttributeValue> read_attribute(protozero::pbf_reader message) {
  std::string name;
  std::int64_t integer = 0;
  double number = 0;
  std::string text;
  onnx::Dims list;
  int type = 0;
  read_fields(message, [&](auto& field) {
    if (field.tag() == 1) return void(name = field.get_string());
    if (field.tag() == 2) return void(number = double(field.get_float()));
    if (field.tag() == 3) return void(integer = field.get_int64());
    if (field.tag() == 4) return void(text = field.get_string());
    if (field.tag() == 8) return list.push_back(field.get_int64());
    if (field.tag() == 20) return void(type = field.get_enum());
    FAIL("an unknown field of an attribute");
  });
  if (type == 1) return {name, number};
  if (type == 2) return {name, integer};
  if (type == 3) return {name, text};
  CHECK(type == 7);
  return {name, list};
}

onnx::Node read_node(protozero::pbf_reader message) {
  onnx::Node node;
  read_fields(message, [&](auto& field) {
    if (field.tag() == 1) return node.inputs.push_back(field.get_string());
    if (field.tag() == 2) return node.outputs.push_back(field.get_string());
    if (field.tag() == 3) return void(node.name = field.get_string());
    if (field.tag() == 4) return void(node.type = field.get_string());
    if (field.tag() == 5) return node.attributes.push_back(read_attribute(field.get_message()));
    FAIL("an unknown field of a node");
  });
  return node;
}

std::pair<std::string, StoredArray> read_array(protozero::pbf_reader message) {
  std::pair<std::string, StoredArray> array;
  int type = 0;
  std::string raw;
  read_fields(message, [&](auto& field) {
    if (field.tag() == 1) return array.second.dims.push_back(field.get_int64());
    if (field.tag() == 2) return void(type = field.get_enum());
    if (field.tag() == 8) return void(array.first = field.get_string());
    if (field.tag() == 9) return void(raw = field.get_string());
    FAIL("an unknown field of a tensor");
  });
  std::size_t elements = 1;
  for (const auto extent : array.second.dims) elements *= lpw::to_size(extent);
  CHECK(raw.size() == elements * (type == 1 ? 4 : 8));
  array.second.values.resize(type == 1 ? elements : 0);
  if (!array.second.values.empty()) std::memcpy(array.second.values.data(), raw.data(), 4 * array.second.values.size());
  return array;
}

std::pair<std::string, Strings> read_value(protozero::pbf_reader message) {
  std::pair<std::string, Strings> value;
  read_fields(message, [&](auto& field) {
    if (field.tag() == 1) return void(value.first = field.get_string());
    auto type = field.get_message();
    REQUIRE(type.next(1));
    auto tensor = type.get_message();
    REQUIRE(tensor.next(2));
    read_fields(tensor.get_message(), [&](auto& shape) {
      auto dim = shape.get_message();
      while (dim.next()) value.second.push_back(dim.tag() == 1 ? std::to_string(dim.get_int64()) : dim.get_string());
    });
  });
  return value;
}

StoredModel read_onnx(const std::filesystem::path& path) {
  const auto bytes = text_of(io::read_file(path));
  StoredModel model;
  const auto read_graph = [&](auto& field) {
    if (field.tag() == 1) return model.nodes.push_back(read_node(field.get_message()));
    if (field.tag() == 5) return void(model.arrays.insert(read_array(field.get_message())));
    if (field.tag() == 11) return void(model.inputs.insert(read_value(field.get_message())));
    if (field.tag() == 12) return void(model.outputs.insert(read_value(field.get_message())));
    CHECK(field.tag() == 2);
    field.skip();
  };
  read_fields(protozero::pbf_reader(bytes), [&](auto& field) {
    if (field.tag() == 1) return void(model.ir_version = field.get_int64());
    if (field.tag() == 2) return void(model.producer = field.get_string());
    if (field.tag() == 7) return read_fields(field.get_message(), read_graph);
    if (field.tag() == 8) {
      auto operators = field.get_message();
      REQUIRE(operators.next(2));
      return void(model.opset = operators.get_int64());
    }
    if (field.tag() == 14) {
      auto entry = field.get_message();
      REQUIRE(entry.next(1));
      auto& value = model.metadata[entry.get_string()];
      REQUIRE(entry.next(2));
      return void(value = entry.get_string());
    }
    CHECK(field.tag() == 3);
    field.skip();
  });
  return model;
}

/// Each value is read after it is made, and made once.
void check_order(const StoredModel& model) {
  std::set<std::string> known;
  for (const auto& [name, dims] : model.inputs) known.insert(name);
  for (const auto& [name, array] : model.arrays) CHECK(known.insert(name).second);
  for (const auto& node : model.nodes) {
    INFO(node.name);
    for (const auto& name : node.inputs) CHECK((name.empty() || known.contains(name)));
    for (const auto& name : node.outputs) CHECK(known.insert(name).second);
  }
  for (const auto& [name, dims] : model.outputs) CHECK(known.contains(name));
}

template <class M>
StoredModel exported(M& network, const Shape& sample, const io::OnnxOptions& options = {}) {
  const TemporaryFolder folder;
  io::save_onnx(folder / "f.onnx", network, sample, options);
  auto model = read_onnx(folder / "f.onnx");
  check_order(model);
  return model;
}

/// A network of a function, with a weight [2, 3].
struct FunctionNet {
  using value_type = float;
  using device_type = Cpu;
  using Variable = lpw::Variable<float, Cpu>;

  std::function<Variable(const Variable&)> function;
  lpw::nn::Parameter<float, Cpu> weight{lpw::full<float, Cpu>({1, 2, 3}, 1.f)};

  Variable forward(const Variable& x) { return function(x); }
  template <class F>
  void visit(F&& f) {
    f("weight", weight);
  }
};

std::string refused(FunctionNet network, const io::OnnxOptions& options = {}) {
  const TemporaryFolder folder;
  const auto message = message_of<lpw::OptionError>([&] { io::save_onnx(folder / "f", network, {2, 3}, options); });
  CHECK(!std::filesystem::exists(folder / "f"));
  return message;
}

/// A tensor of a file and the same of an ONNX file are equal bit for bit.
void check_equal(const io::NamedTensor& tensor, const StoredArray& array) {
  INFO(tensor.name);
  CHECK(array.dims == onnx::Dims(tensor.shape.begin(), tensor.shape.end()));
  REQUIRE(array.values.size() * 4 == tensor.data.size());
  CHECK(std::memcmp(array.values.data(), tensor.data.data(), tensor.data.size()) == 0);
}

}  // namespace

TEST_CASE("onnx file: a wide residual network is convolutions, norms and sums of the names and numbers of safetensors",
          "[io]") {
  const TemporaryFolder folder;
  auto network = wide_resnet<float>();
  randomize(network, 1);
  const auto model = exported(network, {8, 8, 3}, {.metadata = {{"dataset", "none"}}});
  CHECK(model.ir_version == 8);
  CHECK(model.opset == 17);
  CHECK(model.producer == "lpw");
  CHECK(model.metadata == std::map<std::string, std::string>{{"dataset", "none"}, {"members", "1"}});
  CHECK(model.inputs == std::map<std::string, Strings>{{"input", {"batch", "3", "8", "8"}}});
  CHECK(model.outputs == std::map<std::string, Strings>{{"logits", {"batch", "3"}}, {"probabilities", {"batch", "3"}}});
  CHECK(model.count("Conv") == 9);
  CHECK(model.count("BatchNormalization") == 7);
  CHECK(model.count("Relu") == 7);
  CHECK(model.count("Add") == 3);
  CHECK(model.nodes.size() == 9 + 7 + 7 + 3 + 4);  // GlobalAveragePool, Flatten, Gemm, Softmax
  CHECK(model.node("layer2.0.conv1/Conv").attributes == onnx::Attributes{{"dilations", onnx::Dims{1, 1}},
                                                                         {"group", std::int64_t{1}},
                                                                         {"kernel_shape", onnx::Dims{3, 3}},
                                                                         {"pads", onnx::Dims{1, 1, 1, 1}},
                                                                         {"strides", onnx::Dims{2, 2}}});

  io::save_safetensors(folder / "f", network);
  const auto content = io::load_safetensors(folder / "f");
  CHECK(model.arrays.size() == lpw::to_size(std::distance(content.tensors.begin(), content.tensors.end())));
  for (const auto& tensor : content.tensors) check_equal(tensor, model.arrays.at(tensor.name));
}

TEST_CASE("onnx file: members share what they have in common, and end in the mean of their predictions", "[io]") {
  auto network = wide_resnet<float>();
  lpw::release(network, {.members = 3, .late = Group::head});
  randomize(network, 2);
  const auto model = exported(network, {8, 8, 3});
  CHECK(model.count("Conv") == 1 + 3 * 8);  // up to the first running statistics
  CHECK(model.count("Gemm") == 3);
  CHECK(model.outputs.at("logits") == Strings{"3", "batch", "3"});
  CHECK(model.outputs.at("probabilities") == Strings{"batch", "3"});
  CHECK(model.metadata.at("members") == "3");
  for (std::int64_t k = 0; k < 3; ++k) {
    const auto bias = network.fc.bias->value().rows(k, 1);
    CHECK(model.arrays.at(lpw::to_text("members.", k, ".fc.bias")).values ==
          std::vector<float>(bias.data(), bias.data() + 3));
  }
  const auto& mean = model.node("ReduceMean");
  CHECK(mean.outputs == Strings{"probabilities"});
  CHECK(model.node("Softmax").inputs == Strings{"logits"});

  lpw::collapse(network);
  CHECK(exported(network, {8, 8, 3}).count("Gemm") == 1);
}

TEST_CASE("onnx file: rank-1 factors, deviations and templates are weights made by nodes", "[io]") {
  auto factors = wide_resnet<float>();
  lpw::release(factors, {.members = 2, .late = Group::rank_one});
  const auto with_factors = exported(factors, {8, 8, 3});
  CHECK(with_factors.count("Conv") == 18);
  CHECK(with_factors.count("Mul") == 2 * (2 * 9 + 2));
  CHECK(with_factors.arrays.contains("layer1.0.conv1.weight"));
  CHECK(with_factors.arrays.contains("members.1.layer1.0.conv1.rank_one_r"));

  auto deviations = SmallNet<float>();
  lpw::release(deviations, {.members = 2, .late = Selectors::parse("additive")});
  const auto with_deviations = exported(deviations, {6, 6, 3});
  CHECK(with_deviations.node("members.0.conv.weight/Add").inputs ==
        Strings{"members.0.conv.weight.additive", "conv.weight"});
  CHECK(with_deviations.arrays.at("conv.weight").dims == onnx::Dims{5, 3, 3, 3});  // as in safetensors: OIHW
  CHECK(with_deviations.count("Transpose") == 0);

  auto templates = hyper_resnet<float>();
  const auto of_templates = exported(templates, {8, 8, 3});
  CHECK(of_templates.arrays.contains("conv1.coefficients"));
  CHECK(!of_templates.arrays.contains("conv1.weight"));
  CHECK(of_templates.count("MatMul") == 11);  // one for each weight and one for the last bias
}

TEST_CASE("onnx file: channels last in and out, and sizes that stay open", "[io]") {
  auto network = wide_resnet<float>();
  const auto last = exported(network, {8, 8, 3}, {.channels_first = false, .probabilities = false});
  CHECK(last.inputs.at("input") == Strings{"batch", "8", "8", "3"});
  CHECK(last.outputs.size() == 1);
  CHECK(last.nodes.front().type == "Transpose");
  CHECK(std::get<onnx::Dims>(last.nodes.front().attributes.front().second) == onnx::Dims{0, 3, 1, 2});

  const TemporaryFolder folder;
  io::save_onnx(folder / "f", network, [&](auto& pass) {
    const auto x = pass.template input<float>("image", {1, "height", "width", 3});
    pass.output("features", network.conv1.forward(x));
  });
  const auto features = read_onnx(folder / "f");
  CHECK(features.inputs.at("image") == Strings{"1", "3", "height", "width"});
  CHECK(features.outputs.at("features") == Strings{"1", "16", "height", "width"});
  CHECK(features.nodes.size() == 1);
}

TEST_CASE("onnx file: batch norms are folded into what stands before them, where nothing else reads it", "[io]") {
  auto network = SmallNet<float>();
  randomize(network, 3);
  const auto plain = exported(network, {6, 6, 3}), folded = exported(network, {6, 6, 3}, {.fold_batch_norm = true});
  CHECK(plain.count("BatchNormalization") == 2);
  CHECK(folded.count("BatchNormalization") == 1);  // the other one's input went through ReLU
  const auto &before = plain.arrays.at("conv.weight"), &after = folded.arrays.at("conv.weight");
  const auto row = [&](const char* name) { return plain.arrays.at(name).values; };
  for (std::size_t o = 0; o < 5; ++o) {
    const double scale = double(row("bn1.weight")[o]) / std::sqrt(double(row("bn1.running_var")[o]) + 1e-5);
    const auto close = [](double value) { return Approx(value).epsilon(1e-6); };  // of one rounding to float
    for (std::size_t i = o * 27; i < (o + 1) * 27; ++i)
      CHECK(double(after.values[i]) == close(double(before.values[i]) * scale));
    CHECK(double(folded.arrays.at("bn1.bias").values[o]) ==
          close(double(row("bn1.bias")[o]) - double(row("bn1.running_mean")[o]) * scale));
  }
  CHECK(!folded.arrays.contains("bn1.weight"));
}

TEST_CASE("onnx file: a language model takes symbols and states, and its gates are in ONNX's order", "[io]") {
  lpw::nn::LanguageModel<float, Cpu> network({.hidden = 2, .layers = 2, .embedding = 3, .vocabulary = 5}, Philox(4));
  const TemporaryFolder folder;
  io::save_onnx(folder / "f", network);
  const auto model = read_onnx(folder / "f");
  check_order(model);
  CHECK(model.inputs.at("symbols") == Strings{"steps", "batch"});
  CHECK(model.inputs.at("hidden_l1") == Strings{"batch", "2"});
  CHECK(model.inputs.size() == 5);
  CHECK(model.outputs.at("logits") == Strings{"steps", "batch", "5"});
  CHECK(model.outputs.at("cell_l0_after") == Strings{"batch", "2"});
  CHECK(model.count("LSTM") == 2);

  auto& layer = network.lstm.layers[0];
  const auto& weight = model.arrays.at("lstm.weight_ih_l0");
  CHECK(weight.dims == onnx::Dims{1, 8, 3});
  const std::vector<std::size_t> rows{0, 1, 6, 7, 2, 3, 4, 5};  // i, o, f, g of i, f, g, o, two rows each
  for (std::size_t row = 0; row < 8; ++row)
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(weight.values[3 * row + i] == std::as_const(layer.ih.weight.value()).data()[3 * rows[row] + i]);

  lpw::release(network, {.members = 2, .late = Group::head});
  io::save_onnx(folder / "f", network);
  const auto members = read_onnx(folder / "f");
  CHECK(members.inputs.contains("members.1.cell_l1"));
  CHECK(members.outputs.at("logits") == Strings{"2", "steps", "batch", "5"});
}

TEST_CASE("onnx file: what has no graph is refused by its name, with what to do", "[io]") {
  using Variable = FunctionNet::Variable;
  CHECK(contains(refused({[](const Variable& x) { return lpw::mse_loss(x, x); }}),
                 "save_onnx: the operation 'mse_loss' has no form in ONNX here; say by the option `operators` which"));
  const auto unnamed = [](const char* name, const Variable& x) {
    return lpw::record(
        name, x.value(), [](lpw::Tensor<float, Cpu>) {}, x);
  };
  CHECK(contains(refused({[&](const Variable& x) { return unnamed("", x); }}), "an operation without a name"));
  CHECK(contains(refused({[](const Variable& x) { return lpw::sum(x, {.over = {0}}); }}),
                 "save_onnx: 'sum' works along the members' axis"));
  CHECK(contains(refused({[](const Variable& x) { return x.shape()[1] > 2 ? x : lpw::relu(x); }}),
                 "the network computes otherwise for inputs of another size"));
  CHECK(contains(refused({[](const Variable& x) {
                   return lpw::add(x, Variable({lpw::zeros<float, Cpu>(x.shape())}, x.recording(), -1));
                 }}),
                 "a tensor [1 2 2 3] that is as large as a named axis and no input"));

  FunctionNet own{[&](const Variable& x) { return unnamed("softplus", x); }};
  CHECK(exported(own, {2, 3}, {.operators = {{"softplus", "Softplus"}}}).count("Softplus") == 1);

  const TemporaryFolder folder;
  const auto message = [&](auto pass) {
    FunctionNet network;
    return message_of<lpw::OptionError>([&] { io::save_onnx(folder / "f", network, pass); });
  };
  CHECK(contains(message([](auto& pass) { (void)pass.template input<float>("x", {1}); }), "the pass names no output"));
  const auto twice = [](auto& pass) {
    const auto x = pass.template input<float>("x", {1, 2});
    pass.output("x", lpw::relu(x));
  };
  CHECK(contains(message(twice), "an output 'x' is called as an input"));

  auto stale = SmallNet<float>();
  lpw::nn::set_statistics_stale(stale, true);
  CHECK_THROWS_AS(io::save_onnx(folder / "f", stale, {6, 6, 3}), lpw::Error);
  CHECK(!std::filesystem::exists(folder / "f"));
}

TEST_CASE("onnx file: a file that is too large or cannot be written leaves the one before", "[io]") {
  const TemporaryFolder folder;
  CHECK_NOTHROW(onnx::require_writable("f.onnx", 2'000'000'000));
  CHECK(message_of<lpw::FileError>([] { onnx::require_writable("f.onnx", 2'147'000'000); }) ==
        "f.onnx: cannot be written: the graph's weights are 2147000000 bytes, and an ONNX file holds 2 GiB; export "
        "fewer members, the collapsed network, or safetensors");
  auto network = SmallNet<float>();
  CHECK_THROWS_AS(io::save_onnx(folder / "none" / "f", network, {6, 6, 3}), lpw::FileError);
  std::ofstream(folder / "f") << "before";
  FunctionNet bad{[](const FunctionNet::Variable& x) { return lpw::mse_loss(x, x); }};
  CHECK_THROWS_AS(io::save_onnx(folder / "f", bad, {2, 3}), lpw::OptionError);
  CHECK(text_of(io::read_file(folder / "f")) == "before");
}

TEST_CASE("onnx graph: arrays are moved on the host, and a node is made once", "[io]") {
  const std::vector<float> numbers{0, 1, 2, 3, 4, 5};
  const auto array = onnx::Array::of(numbers, {2, 3});
  const auto values = [](const onnx::Array& moved) {
    const auto all = moved.values<float>();
    return std::vector<float>(all.begin(), all.end());
  };
  CHECK(values(onnx::permuted(array, {1, 0})) == std::vector<float>{0, 3, 1, 4, 2, 5});
  CHECK(values(onnx::permuted(onnx::reshaped(array, {1, 2, -1}), {2, 0, 1})) == std::vector<float>{0, 3, 1, 4, 2, 5});
  CHECK(values(onnx::gathered(array, {1, 0})) == std::vector<float>{3, 4, 5, 0, 1, 2});
  CHECK(onnx::concatenated({array, array}).dims == onnx::Dims{4, 3});

  onnx::Builder builder;
  const auto x = builder.input({"x", onnx::ElementType::float32, {2}});
  const auto y = builder.node("Relu", {x}), again = builder.node("Relu", {x});
  builder.output({"y", onnx::ElementType::float32, {2}}, y);
  builder.output({"z", onnx::ElementType::float32, {2}}, again);
  const auto graph = builder.finish();
  REQUIRE(graph.nodes.size() == 2);
  CHECK(graph.nodes[0].outputs == Strings{"y"});
  CHECK(graph.nodes[1].type == "Identity");
  CHECK(graph.nodes[1].inputs == Strings{"y"});
}

TEST_CASE("onnx file: axes are permuted and cut as they are here", "[io]") {
  FunctionNet network{[](const FunctionNet::Variable& x) {
    return lpw::slice(lpw::permute(x, {0, 2, 3, 1}), {.axis = 3, .first = x.shape()[1] - 1, .count = 1});
  }};
  const auto model = exported(network, {2, 3});
  REQUIRE(model.nodes.size() == 2);
  CHECK(std::get<onnx::Dims>(model.nodes[0].attributes[0].second) == onnx::Dims{1, 2, 0});
  CHECK(model.outputs.at("output") == Strings{"2", "3", "1"});  // the last of the batch, whatever its size
}
