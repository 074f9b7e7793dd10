#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/templates.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// sum_t c_kpt T_t, written out: the weight's element with outer index m and input c of part p.
DoubleTensor written_out(const DoubleTensor& coefficients, const DoubleTensor& templates, const Shape& weight) {
  const std::int64_t parts = coefficients.dim(1), count = coefficients.dim(2), inputs = weight[-1] / parts,
                     rows = std::max(coefficients.dim(0), templates.dim(0)), outer = weight.size() / weight[-1];
  auto result = zeros<double, Cpu>(weight.prepend(rows));
  for (std::int64_t k = 0; k < rows; ++k)
    for (std::int64_t m = 0; m < outer; ++m)
      for (std::int64_t p = 0; p < parts; ++p)
        for (std::int64_t c = 0; c < inputs; ++c)
          for (std::int64_t t = 0; t < count; ++t)
            result.row(k)[(m * parts + p) * inputs + c] +=
                coefficients.row(coefficients.dim(0) == 1 ? 0 : k)[p * count + t] *
                templates.row(templates.dim(0) == 1 ? 0 : k)[(t * outer + m) * inputs + c];
  return result;
}

struct TemplateCase {
  std::int64_t coefficient_rows, template_rows, parts;
  Shape part;  // of the weight

  [[nodiscard]] Shape weight() const { return part.with(part.rank() - 1, part[-1] * parts); }
  [[nodiscard]] Shape coefficients() const { return {coefficient_rows, parts, 4}; }
  [[nodiscard]] Shape templates() const { return part.prepend(4).prepend(template_rows); }
};

const std::vector<TemplateCase> template_cases{{1, 1, 1, {3, 5}}, {3, 1, 1, {3, 2, 2, 2}}, {3, 1, 2, {2, 2, 2, 3}},
                                               {1, 1, 2, {3, 5}}, {1, 3, 2, {3, 2}},       {3, 3, 2, {3, 2}},
                                               {3, 3, 1, {2, 4}}, {2, 1, 3, {2, 3}},       {2, 1, 1, Shape{3}}};

}  // namespace

TEST_CASE("combine_templates: the sum written out", "[templates]") {
  for (const TemplateCase& c : template_cases)
    for (const bool strided : {false, true}) {
      CAPTURE(c.coefficient_rows, c.template_rows, c.parts, strided);
      const auto coefficients = random_parameter<double>(c.coefficients(), strided, 1),
                 templates = random_parameter<double>(c.templates(), strided, 2);
      const Tape tape;
      const auto found = combine_templates(tape.input(coefficients), tape.input(templates), c.weight());
      CHECK(distance(found.value(), written_out(clone(coefficients), clone(templates), c.weight())) <=
            8 * epsilon<double>());  // sums of four products below 1
    }
}

TEST_CASE("combine_templates: gradients", "[templates]") {
  for (const TemplateCase& c : template_cases) {
    INFO("coefficient rows " << c.coefficient_rows << " template rows " << c.template_rows << " parts " << c.parts);
    expect_gradient(
        "combine_templates", [&](const auto& in) { return combine_templates(in[0], in[1], c.weight()); },
        random_inputs({c.coefficients(), c.templates()}));
  }
}

TEST_CASE("combine_templates: a bank used by two layers gets both gradients", "[templates]") {
  expect_gradient(
      "combine_templates twice",
      [](const auto& in) {
        const auto first = combine_templates(in[0], in[2], {2, 3}), second = combine_templates(in[1], in[2], {2, 6});
        return add(weighted_sum(first), weighted_sum(second));
      },
      random_inputs({{2, 1, 4}, {2, 2, 4}, {1, 4, 2, 3}}));
}

TEST_CASE("combine_templates: shapes that do not fit", "[templates]") {
  const Tape tape;
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  const auto refused = [&](const Shape& c, const Shape& t, const Shape& weight) {
    CHECK_THROWS_AS(combine_templates(variable(c), variable(t), weight), ShapeError);
  };
  CHECK_THROWS_WITH(combine_templates(variable({1, 2, 4}), variable({1, 4, 3, 5}), {3, 5}),
                    "combine_templates: 2 parts of templates [1 4 3 5] do not make a weight [3 5]");
  refused({1, 1, 3}, {1, 4, 3, 5}, {3, 5});  // of three templates, of four
  refused({1, 4}, {1, 4, 3, 5}, {3, 5});     // no parts
  refused({1, 1, 4}, {1, 4, 15}, {3, 5});    // another rank
  refused({1, 1, 4}, {1, 4, 2, 5}, {3, 5});  // other outputs
  refused({2, 1, 4}, {3, 4, 3, 5}, {3, 5});  // two members, and three
}
