// The C++ side of the exchange of safetensors files with their reference implementation in Python.
//   safetensors write FILE EXPECT   writes FILE with every element type and rank, and what it holds to EXPECT
//   safetensors read FILE EXPECT    exits with 1 unless FILE holds what EXPECT says
// EXPECT is JSON: {"<name>": {"dtype": "F32", "shape": [2, 3], "values": [...]}, ...}, values in row-major order, exact
// in every type.
#include <lpw/io/safetensors.hpp>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

namespace {

using lpw::Cpu;
using lpw::Shape;
using lpw::Tensor;
using nlohmann::json;

template <class T>
void add(lpw::io::NamedTensors& tensors, json& expect, const std::string& name, const Tensor<T, Cpu>& tensor) {
  const auto contiguous = lpw::clone(tensor);
  json values = json::array();
  for (std::int64_t i = 0; i < contiguous.size(); ++i) values.push_back(static_cast<double>(contiguous.data()[i]));
  const auto& shape = tensor.shape();
  expect[name] = {{"dtype", lpw::dtype_name<T>()},
                  {"shape", std::vector<std::int64_t>(shape.begin(), shape.end())},
                  {"values", values}};
  tensors.add(name, tensor);
}

template <class T>
void add_every_rank(lpw::io::NamedTensors& tensors, json& expect) {
  for (const Shape& shape :
       {Shape{}, Shape{3}, Shape{2, 0}, Shape{2, 3}, Shape{2, 2, 3}, Shape{1, 2, 1, 2}, Shape{2, 1, 2, 1, 2, 1}}) {
    Tensor<T, Cpu> tensor(shape);
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor.data()[i] = static_cast<T>(static_cast<float>(7 * i + shape.rank()));
    add(tensors, expect, lpw::to_text(lpw::dtype_name<T>(), " ", shape), tensor);
  }
}

void write_files(const std::string& path, const std::string& expect_path) {
  lpw::io::Safetensors content;
  json expect;
  add_every_rank<lpw::bfloat16>(content.tensors, expect);
  add_every_rank<std::uint8_t>(content.tensors, expect);
  add_every_rank<float>(content.tensors, expect);
  add_every_rank<double>(content.tensors, expect);
  add_every_rank<std::int32_t>(content.tensors, expect);
  add_every_rank<std::int64_t>(content.tensors, expect);
  auto store = lpw::full<float, Cpu>({2, 6}, -1.5f);
  store.row(1)[2] = 0x1.fffffep-3f;
  add(content.tensors, expect, "strided \u03b3", store.columns(2, {3}));
  content.metadata["format"] = "pt";
  lpw::io::save_safetensors(path, content);
  lpw::io::write_file_atomically(expect_path, expect.dump());
}

template <class T>
std::vector<double> values_of(const lpw::io::NamedTensors& tensors, const lpw::io::NamedTensor& named) {
  const auto tensor = tensors.get<T>(named.name, named.shape);
  std::vector<double> values;
  for (std::int64_t i = 0; i < tensor.size(); ++i) values.push_back(static_cast<double>(tensor.data()[i]));
  return values;
}

std::vector<double> values_of(const lpw::io::NamedTensors& tensors, const lpw::io::NamedTensor& named) {
  if (named.dtype == "F32") return values_of<float>(tensors, named);
  if (named.dtype == "F64") return values_of<double>(tensors, named);
  if (named.dtype == "BF16") return values_of<lpw::bfloat16>(tensors, named);
  if (named.dtype == "I32") return values_of<std::int32_t>(tensors, named);
  if (named.dtype == "I64") return values_of<std::int64_t>(tensors, named);
  return values_of<std::uint8_t>(tensors, named);
}

void check_files(const std::string& path, const std::string& expect_path) {
  const auto content = lpw::io::load_safetensors(path);
  const auto text = lpw::io::read_file(expect_path);
  const auto* characters = reinterpret_cast<const char*>(text.data());
  const json expect = json::parse(characters, characters + text.size());
  lpw::require(content.tensors.size() == expect.size(), path, ": ", content.tensors.size(), " tensors, expected ",
               expect.size());
  for (const auto& [name, expected] : expect.items()) {
    const auto& tensor = content.tensors.at(name);
    const std::vector<std::int64_t> shape(tensor.shape.begin(), tensor.shape.end());
    lpw::require(expected["dtype"] == tensor.dtype && expected["shape"] == shape, path, ": tensor '", name, "' is ",
                 tensor.dtype, " ", tensor.shape, ", expected ", expected.dump());
    lpw::require(expected["values"].get<std::vector<double>>() == values_of(content.tensors, tensor), path,
                 ": tensor '", name, "' has other values than ", expected.dump());
  }
  std::cout << path << ": " << expect.size() << " tensors as expected\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    lpw::require(arguments.size() == 3 && (arguments[0] == "write" || arguments[0] == "read"),
                 "usage: safetensors write|read FILE EXPECT");
    (arguments[0] == "write" ? write_files : check_files)(arguments[1], arguments[2]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
