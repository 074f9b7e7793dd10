// Networks as safetensors files: names, order and bits, and what is refused.
#include <lpw/io/model.hpp>

#include <limits>
#include <memory>
#include <vector>

#include <lpw/optim/weight_average.hpp>

#include "catch.hpp"
#include "support/files.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace io = lpw::io;

namespace {

/// A file of a network, changed.
template <class M, class Change>
void rewrite(const std::filesystem::path& path, M& network, Change change) {
  io::save_safetensors(path, network);
  const auto old = io::load_safetensors(path);
  io::Safetensors content{io::NamedTensors(path.string()), old.metadata};
  for (const auto& tensor : old.tensors) change(tensor, content.tensors);
  io::save_safetensors(path, content);
}

/// Loads a file that is not this network's: it must be refused and change nothing.
template <class M>
std::string refusal_of(const std::filesystem::path& path, M& network) {
  const auto before = state_of(network);
  const auto message = message_of<lpw::FileError>([&] { io::load_safetensors(path, network); });
  CHECK(state_of(network) == before);
  return message;
}

SmallNet<float> random_net(std::uint64_t seed) {
  SmallNet<float> network;
  randomize(network, seed);
  return network;
}

}  // namespace

TEMPLATE_TEST_CASE("model file: a network comes back bit for bit and predicts the same", "[io]", float, double) {
  const TemporaryFolder folder;
  auto network = SmallNet<TestType>();
  randomize(network, 1);
  io::save_safetensors(folder / "f", network, {{"model", "small"}});
  auto other = SmallNet<TestType>();
  const auto stores = lpw::nn::flatten(other);
  io::load_safetensors(folder / "f", other);
  CHECK(state_of(other) == state_of(network));
  CHECK(lpw::nn::flatten(other) == stores);  // in place: an optimizer made before stays valid
  const Minibatches<TestType> test(1, 4, 0);
  CHECK(logits_of(other, test.images) == logits_of(network, test.images));

  const auto content = io::load_safetensors(folder / "f");
  CHECK(content.metadata == std::map<std::string, std::string>{{"format", "pt"}, {"model", "small"}});
  CHECK(content.tensors.at("last.weight").dtype == lpw::dtype_name<TestType>());
}

TEST_CASE("model file: a wide residual network has PyTorch's names and shapes", "[io]") {
  const TemporaryFolder folder;
  auto network = wide_resnet<float>();
  io::save_safetensors(folder / "f", network);
  const auto content = io::load_safetensors(folder / "f");
  std::map<std::string, Shape> expected = {{"conv1.weight", {16, 3, 3, 3}}, {"fc.weight", {3, 64}}, {"fc.bias", {3}}};
  const auto norm = [&](const std::string& name, std::int64_t channels) {
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"})
      expected[name + part] = Shape{channels};
  };
  std::int64_t in = 16;
  for (const auto& [group, out] : {std::pair{"layer1.0", 16}, {"layer2.0", 32}, {"layer3.0", 64}}) {
    const std::string name = group;
    norm(name + ".bn1", in);
    norm(name + ".bn2", out);
    expected[name + ".conv1.weight"] = {out, in, 3, 3};
    expected[name + ".conv2.weight"] = {out, out, 3, 3};
    if (in != out) expected[name + ".shortcut.weight"] = {out, in, 1, 1};
    in = out;
  }
  norm("bn", 64);
  std::map<std::string, Shape> found;
  for (const auto& tensor : content.tensors) found.emplace(tensor.name, tensor.shape);
  CHECK(found == expected);
}

TEST_CASE("model file: convolution weights are in PyTorch's order, output, input, row, column", "[io]") {
  const TemporaryFolder folder;
  lpw::nn::Initializer init(Philox(4));
  lpw::nn::Conv2d<float, Cpu> conv({.in_channels = 2, .out_channels = 4}, init);
  io::save_safetensors(folder / "f", conv);
  const auto stored = io::load_safetensors(folder / "f").tensors.get<float>("weight", {4, 2, 3, 3});
  const auto& weight = conv.weight.value();
  REQUIRE(weight.shape() == Shape{1, 4, 3, 3, 2});
  for (int o = 0; o < 4; ++o)
    for (int i = 0; i < 2; ++i)
      for (int y = 0; y < 3; ++y)
        for (int x = 0; x < 3; ++x)
          CHECK(stored.data()[((o * 2 + i) * 3 + y) * 3 + x] == weight.data()[((o * 3 + y) * 3 + x) * 2 + i]);
}

TEST_CASE("model file: released networks are neither written nor read into", "[io]") {
  const TemporaryFolder folder;
  auto plain = random_net(1);
  io::save_safetensors(folder / "plain", plain);
  for (const std::int64_t members : {1, 3}) {
    auto network = random_net(2);
    lpw::release(network, {.members = members});
    const auto before = state_of(network);
    const auto message = lpw::to_text("safetensors: the network is released into ", members, " members; ");
    CHECK(message_of<lpw::OptionError>([&] { io::save_safetensors(folder / "f", network); }) ==
          "save_" + message + "collapse it first");
    CHECK(message_of<lpw::OptionError>([&] { io::load_safetensors(folder / "plain", network); }) ==
          "load_" + message + "load before release");
    CHECK(state_of(network) == before);
    CHECK_FALSE(std::filesystem::exists(folder / "f"));
    lpw::collapse(network);
    io::save_safetensors(folder / "f", network);
    std::filesystem::remove(folder / "f");
  }
}

TEST_CASE("model file: a missing tensor is named and the network untouched", "[io]") {
  const TemporaryFolder folder;
  auto network = random_net(1), other = random_net(2);
  for (const std::string missing : {"conv.weight", "bn2.running_var", "last.bias"}) {
    rewrite(folder / "f", network, [&](const io::NamedTensor& tensor, io::NamedTensors& to) {
      if (tensor.name != missing) to.add(tensor);
    });
    CHECK(refusal_of(folder / "f", other) == (folder / "f").string() + ": was not saved from this network: '" +
                                                 missing +
                                                 "' is missing; names can be changed (rename) or passed over (skip)");
  }
}

TEST_CASE(
    "model file: a tensor too many is named and the network untouched, but PyTorch's counters of batches are passed "
    "over",
    "[io]") {
  const TemporaryFolder folder;
  auto network = random_net(1), other = random_net(2);
  const auto save_with = [&](const std::string& extra) {
    rewrite(folder / "f", network, [&](const io::NamedTensor& tensor, io::NamedTensors& to) {
      to.add(tensor);
      if (tensor.name == "last.bias") to.add(extra, lpw::full<std::int64_t, Cpu>({}, 7));
    });
  };
  save_with("other.bias");
  CHECK(refusal_of(folder / "f", other) == (folder / "f").string() +
                                               ": was not saved from this network: 'other.bias' is left over; names "
                                               "can be changed (rename) or passed over (skip)");
  save_with("bn1.num_batches_tracked");
  io::load_safetensors(folder / "f", other);
  CHECK(state_of(other) == state_of(network));
}

TEST_CASE("model file: another architecture or element type is refused", "[io]") {
  const TemporaryFolder folder;
  lpw::nn::WideResNet<float, Cpu> wider({.depth = 10, .widen = 2, .classes = 3}, Philox(1));
  auto narrow = wide_resnet<float>();
  io::save_safetensors(folder / "wider", wider);
  CHECK(refusal_of(folder / "wider", narrow) ==
        (folder / "wider").string() +
            ": was not saved from this network: 'layer1.0.shortcut.weight' is left over; names can "
            "be changed (rename) or passed over (skip)");
  auto small = random_net(1);
  CHECK(contains(refusal_of(folder / "wider", small), "was not saved from this network: 'conv.weight', "));
  io::save_safetensors(folder / "small", small);
  SmallNet<double> exact;
  CHECK(contains(refusal_of(folder / "small", exact), "tensor 'conv.weight' is F32 [5 3 3 3], expected F64 [5 3 3 3]"));
  CHECK(contains(refusal_of(folder / "none", exact), (folder / "none").string()));
}

TEST_CASE("model file: averaged weights are not saved with the statistics of others, a loaded file has its own",
          "[io]") {
  const TemporaryFolder folder;
  auto network = random_net(1), averaged = random_net(2);
  lpw::optim::mark_statistics_stale(averaged);
  CHECK(contains(message_of<lpw::Error>([&] { io::save_safetensors(folder / "f", averaged); }),
                 "call recompute_statistics first"));
  CHECK_FALSE(std::filesystem::exists(folder / "f"));
  io::save_safetensors(folder / "f", network);
  io::load_safetensors(folder / "f", averaged);
  const Minibatches<float> test(1, 4, 0);
  CHECK(logits_of(averaged, test.images) == logits_of(network, test.images));
}

namespace {

/// The file of a network with its tensors in another element type.
template <class To, class M>
void save_as(const std::filesystem::path& path, M& network) {
  rewrite(path, network, [](const io::NamedTensor& tensor, io::NamedTensors& to) {
    const auto* values = reinterpret_cast<const float*>(tensor.data.data());
    std::vector<To> other(values, values + tensor.shape.size());
    const auto owner = std::make_shared<const std::vector<To>>(std::move(other));
    const char* dtype = std::is_same_v<To, lpw::half> ? "F16" : std::is_same_v<To, double> ? "F64" : "BF16";
    to.add({tensor.name, dtype, tensor.shape, std::as_bytes(std::span(*owner)), owner});
  });
}

template <class To>
void check_converted() {
  const TemporaryFolder folder;
  auto network = random_net(1), loaded = random_net(2), expected = random_net(1);
  save_as<To>(folder / "f", network);
  CHECK(contains(refusal_of(folder / "f", loaded), "; ask for it to be converted (convert)"));
  io::load_safetensors(folder / "f", loaded, {.convert = true});
  const auto round = [](const auto&, auto& member) {
    for (std::int64_t i = 0; i < member.value().size(); ++i)
      member.value().data()[i] = static_cast<float>(static_cast<To>(member.value().data()[i]));
  };
  lpw::nn::for_each_parameter(expected, round);
  lpw::nn::for_each_buffer(expected, round);
  CHECK(state_of(loaded) == state_of(expected));
}

}  // namespace

TEST_CASE("model file: other floating-point types are converted on request", "[io]") {
  check_converted<lpw::half>();
  check_converted<lpw::bfloat16>();
  check_converted<double>();
  const TemporaryFolder folder;
  auto network = random_net(1);
  io::save_safetensors(folder / "f", network);
  SmallNet<double> wide;
  io::load_safetensors(folder / "f", wide, {.convert = true});
  const auto content = io::load_safetensors(folder / "f");
  CHECK(wide.last.weight.value().data()[1] == static_cast<double>(network.last.weight.value().data()[1]));
}

TEST_CASE("model file: what is no number of the network's type is not converted", "[io]") {
  io::NamedTensors tensors("f");
  tensors.add("large", lpw::full<double, Cpu>({2}, 1e39));
  tensors.add("infinite", lpw::full<double, Cpu>({1}, -std::numeric_limits<double>::infinity()));
  tensors.add("count", lpw::full<std::int32_t, Cpu>({1}, 1));
  CHECK(contains(message_of<lpw::FileError>([&] { (void)tensors.get_converted<float>("large", {2}); }),
                 "f: tensor 'large': element 0 is 1e+39, beyond the largest of F32"));
  CHECK(tensors.get_converted<float>("infinite", {1}).data()[0] == -std::numeric_limits<float>::infinity());
  CHECK(message_of<lpw::FileError>([&] { (void)tensors.get_converted<float>("count", {1}); }) ==
        "f: tensor 'count' is I32 [1], expected F32 [1]");
  CHECK(contains(message_of<lpw::FileError>([&] { (void)tensors.get_converted<float>("large", {3}); }),
                 "is F64 [2], expected [3]"));
}

TEST_CASE("model file: of tied weights one name is enough, where the metadata name it", "[io]") {
  const TemporaryFolder folder;
  auto network = random_net(1), loaded = random_net(2);
  io::save_safetensors(folder / "f", network);
  const auto content = io::load_safetensors(folder / "f");
  const std::string name = content.tensors.begin()->name;
  io::Safetensors tied{io::NamedTensors("tied"), content.metadata};
  for (const auto& tensor : content.tensors)
    tied.tensors.add(
        {tensor.name == name ? "kept" : tensor.name, tensor.dtype, tensor.shape, tensor.data, tensor.owner});
  io::save_safetensors(folder / "f", tied);
  CHECK(contains(refusal_of(folder / "f", loaded), "'" + name + "' is missing, 'kept' is left over"));
  tied.metadata[name] = "kept";
  io::save_safetensors(folder / "f", tied);
  io::load_safetensors(folder / "f", loaded);
  CHECK(state_of(loaded) == state_of(network));
}

TEST_CASE(
    "model file: what is not finite, and a variance below zero, is refused by tensor and file, and the network "
    "untouched",
    "[io]") {
  const TemporaryFolder folder;
  auto network = random_net(1);
  const auto spoil = [&](const std::string& name, float value) {
    rewrite(folder / "f", network, [&](const io::NamedTensor& tensor, io::NamedTensors& to) {
      if (tensor.name != name) return to.add(tensor);
      auto values = io::NamedTensors("f");
      values.add(tensor);
      auto changed = values.get<float>(name, tensor.shape);
      changed.data()[2] = value;
      to.add(name, changed);
    });
  };
  auto other = random_net(2);
  const auto spoilt = [&](const std::string& name, float value) {
    spoil(name, value);
    return refusal_of(folder / "f", other);
  };
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::string file = (folder / "f").string();
  CHECK(contains(spoilt("conv.weight", nan), file + ": tensor 'conv.weight' holds nan at element 2"));
  CHECK(contains(spoilt("last.weight", -infinity), file + ": tensor 'last.weight' holds -inf at element 2"));
  CHECK(contains(spoilt("bn1.running_mean", infinity), file + ": tensor 'bn1.running_mean' holds inf at element 2"));
  CHECK(contains(spoilt("bn1.running_var", -0.5f),
                 file + ": tensor 'bn1.running_var' holds -0.5 at element 2, which is no variance"));
  spoil("bn1.running_var", 0);
  CHECK_NOTHROW(io::load_safetensors(folder / "f", other));
}

namespace {

/// A file of a network with other names, which may be "", for tensors that are left out.
template <class M, class Name>
void save_renamed(const std::filesystem::path& path, M& network, Name name) {
  rewrite(path, network, [&](const io::NamedTensor& tensor, io::NamedTensors& to) {
    const std::string other = name(tensor.name);
    if (!other.empty()) to.add({other, tensor.dtype, tensor.shape, tensor.data, tensor.owner});
  });
}

/// An embedding and an output layer over the same weight, which "encoder.weight" and "decoder.weight" both name.
struct TiedNet {
  using value_type = float;
  using device_type = Cpu;

  explicit TiedNet(float first)
      : encoder(lpw::full<float, Cpu>({1, 2, 3}, first)), decoder(encoder), bias(lpw::zeros<float, Cpu>({1, 2})) {}
  template <class F>
  void visit(F&& f) {
    f("encoder.weight", encoder);
    f("decoder.weight", decoder);
    f("decoder.bias", bias);
  }
  lpw::nn::Parameter<float, Cpu> encoder, decoder, bias;
};

}  // namespace

TEST_CASE("model file: names are changed by patterns or by a function", "[io]") {
  const TemporaryFolder folder;
  auto network = random_net(1);
  save_renamed(folder / "f", network, [](const std::string& name) {
    return name.starts_with("last.") ? "module.head." + name.substr(5) : "module." + name;
  });
  auto loaded = random_net(2);
  io::load_safetensors(folder / "f", loaded, {.rename = {{"module.head.*", "last.*"}, {"module.*", "*"}}});
  CHECK(state_of(loaded) == state_of(network));
  auto again = random_net(3);
  const auto rename = [](const std::string& name) {
    return name.starts_with("module.head.") ? "last." + name.substr(12) : name.substr(7);
  };
  io::load_safetensors(folder / "f", again, {.rename = rename});
  CHECK(state_of(again) == state_of(network));
  const auto twice = message_of<lpw::FileError>([&] {
    io::load_safetensors(folder / "f", again, {.rename = {{"module.*", "same"}}});
  });
  CHECK(contains(twice, (folder / "f").string() + ": the tensors 'module."));
  CHECK(contains(twice, "' are both renamed to 'same'"));
  CHECK(state_of(again) == state_of(network));
}

TEST_CASE("model file: what is missing and left over is listed, with names that were perhaps meant", "[io]") {
  const TemporaryFolder folder;
  auto network = random_net(1), other = random_net(2);
  save_renamed(folder / "f", network, [](const std::string& name) {
    return name == "hidden.bias" ? "hiden.bias" : name == "conv.weight" ? "first" : name == "bn1.bias" ? "" : name;
  });
  CHECK(refusal_of(folder / "f", other) ==
        (folder / "f").string() +
            ": was not saved from this network: 'conv.weight', 'bn1.bias' and 'hidden.bias' are missing, 'first' and "
            "'hiden.bias' are left "
            "over; 'hidden.bias' is close to 'hiden.bias'; names can be changed (rename) or passed over (skip)");
}

TEST_CASE("model file: a new head is made where the file's is of other classes, and the report says so", "[io]") {
  const TemporaryFolder folder;
  lpw::nn::WideResNet<float, Cpu> many({.depth = 10, .widen = 1, .classes = 7}, Philox(8));
  auto few = wide_resnet<float>();
  const auto before = state_of(few);
  io::save_safetensors(folder / "many", many, {{"model", "wrn-10-1"}});
  const auto report = io::load_safetensors(folder / "many", few, {.new_head = true});
  CHECK((report.kept == std::vector<std::string>{"fc.weight", "fc.bias"} && report.passed_over.size() == 2));
  CHECK(report.taken.size() + 2 == before.size());
  CHECK(report.metadata.at("model") == "wrn-10-1");
  CHECK(contains(report.describe(), " tensors taken; new: 'fc.weight' and 'fc.bias'; not taken of the file: '"));
  CHECK(state_of(few).at("fc.weight") == before.at("fc.weight"));
  CHECK(state_of(few).at("conv1.weight") == state_of(many).at("conv1.weight"));
  // One of the same classes is taken, and what is not the head must fit.
  CHECK(io::load_safetensors(folder / "many", many, {.new_head = true}).kept.empty());
  // As many classes of other names are others, as far as both are known.
  const std::vector<std::string> animals{"cat", "dog", "eel"}, trees{"ash", "oak", "yew"};
  io::save_safetensors(folder / "few", few, {{"classes", io::describe_class_names(animals)}});
  CHECK(io::load_safetensors(folder / "few", few, {.new_head = true, .classes = trees}).kept.size() == 2);
  CHECK(io::load_safetensors(folder / "few", few, {.new_head = true, .classes = animals}).kept.empty());
  CHECK(io::load_safetensors(folder / "few", few).kept.empty());
  CHECK(
      message_of<lpw::FileError>([&] { io::load_safetensors(folder / "few", few, {.classes = trees}); }) ==
      (folder / "few").string() +
          ": tells other classes apart, cat, dog and eel, than the data has, ash, oak and yew; take data of the same, "
          "or start training from the file, with a new head");
  io::save_safetensors(folder / "few", few, {{"classes", "cat, dog, eel"}});
  CHECK(contains(message_of<lpw::FileError>([&] { io::load_safetensors(folder / "few", few, {.classes = trees}); }),
                 "damaged: its `classes` are no list of names, but cat, dog, eel"));
  CHECK(io::list_class_names({"a", "b", "c", "d", "e"}) == "a, b, c and 2 more");
  CHECK(io::LoadReport{.taken = {"a"}, .passed_over = {"b.num_batches_tracked"}}.describe() ==
        "1 tensor taken; not taken of the file: 1 counter of batches");
  lpw::nn::WideResNet<float, Cpu> wider({.depth = 10, .widen = 2, .classes = 3}, Philox(1));
  CHECK(contains(message_of<lpw::FileError>([&] { io::load_safetensors(folder / "many", wider, {.new_head = true}); }),
                 "'layer1.0.shortcut.weight' is missing"));
}

TEST_CASE("model file: a head that the file lacks, or has for other classes, keeps the network's values by wish",
          "[io]") {
  const TemporaryFolder folder;
  lpw::nn::WideResNet<float, Cpu> many({.depth = 10, .widen = 1, .classes = 7}, Philox(8));
  auto few = wide_resnet<float>();
  const auto before = state_of(few);
  io::save_safetensors(folder / "many", many);
  CHECK(contains(refusal_of(folder / "many", few),
                 ": tensor 'fc.weight' is F32 [7 64], expected F32 [3 64]; pass it over (skip)"));
  const auto check = [&](const lpw::io::LoadOptions& options, const std::string& file) {
    auto loaded = wide_resnet<float>();
    io::load_safetensors(folder / file, loaded, options);
    auto expected = state_of(many), found = state_of(loaded);
    for (const char* name : {"fc.weight", "fc.bias"}) {
      CHECK(found.at(name) == before.at(name));
      expected.erase(name);
      found.erase(name);
    }
    CHECK(found == expected);
  };
  check({.skip = {"fc.*"}}, "many");
  check({.skip = [](const std::string& name) { return name.starts_with("fc"); }}, "many");
  save_renamed(folder / "headless", many, [](const std::string& name) { return name.starts_with("fc.") ? "" : name; });
  CHECK(contains(refusal_of(folder / "headless", few), "'fc.weight' and 'fc.bias' are missing; names"));
  check({.skip = {"fc.weight", "fc.bias"}}, "headless");
  save_renamed(folder / "other", many,
               [](const std::string& name) { return name.starts_with("fc.") ? "classifier." + name : name; });
  check({.skip = {"fc.*", "classifier.*"}}, "other");
  CHECK(message_of<lpw::OptionError>([&] {
          io::load_safetensors(folder / "many", few, {.skip = {"fb.*", "fc.*"}});
        }) == (folder / "many").string() +
                  ": skip 'fb.*' matches no tensor of the file and no weight of the network; close names: 'fc.bias' "
                  "and 'fc.weight'");
  CHECK(state_of(few) == before);
}

TEST_CASE("model file: of tied weights any one name is enough, two that differ are refused", "[io]") {
  const TemporaryFolder folder;
  TiedNet network(3);
  io::save_safetensors(folder / "f", network);
  for (const std::string left_out : {"encoder.weight", "decoder.weight", ""}) {
    save_renamed(folder / "f", network, [&](const std::string& name) { return name == left_out ? "" : name; });
    TiedNet loaded(1);
    io::load_safetensors(folder / "f", loaded);
    CHECK(loaded.encoder.id() == loaded.decoder.id());
    CHECK(state_of(loaded) == state_of(network));
  }
  save_renamed(folder / "f", network, [](const std::string& name) { return name.ends_with("bias") ? name : ""; });
  TiedNet loaded(1);
  CHECK(contains(refusal_of(folder / "f", loaded), "'encoder.weight' and 'decoder.weight' are missing"));

  io::Safetensors two{io::NamedTensors("f"), {}};
  two.tensors.add("encoder.weight", lpw::full<float, Cpu>({2, 3}, 4.f));
  two.tensors.add("decoder.weight", lpw::full<float, Cpu>({2, 3}, 5.f));
  two.tensors.add("decoder.bias", lpw::zeros<float, Cpu>({2}));
  io::save_safetensors(folder / "two", two);
  CHECK(contains(refusal_of(folder / "two", loaded),
                 "' differ, and are one weight in this network; pass over one of them (skip)"));
  io::load_safetensors(folder / "two", loaded, {.skip = {"encoder.*"}});
  CHECK(loaded.encoder.value().data()[0] == 5);
}

TEST_CASE("model file: skipped statistics stay as they are, stale ones stale", "[io]") {
  const TemporaryFolder folder;
  auto network = random_net(1), averaged = random_net(2);
  const auto before = state_of(averaged);
  io::save_safetensors(folder / "f", network);
  lpw::optim::mark_statistics_stale(averaged);
  io::load_safetensors(folder / "f", averaged, {.skip = {"*.running_*"}});
  CHECK(state_of(averaged).at("bn1.running_var") == before.at("bn1.running_var"));
  CHECK(state_of(averaged).at("bn1.weight") == state_of(network).at("bn1.weight"));
  CHECK(lpw::nn::statistics_stale(averaged));
}
