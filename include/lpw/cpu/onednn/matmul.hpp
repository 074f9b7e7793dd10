// Matrix products by oneDNN on strided float32 and bfloat16 matrices as they lie, without packing on our side.
#pragma once

#include <optional>
#include <vector>

#include <lpw/cpu/base/product_cut.hpp>
#include <lpw/cpu/onednn/plan.hpp>

namespace lpw::inline LPW_ABI::onednn {

struct MatmulPlan {
  Operation matmul;
  dnnl::memory::desc a, b, c;
};

namespace detail {

template <class T>
[[nodiscard]] dnnl::memory::desc describe_matrix(MatrixView<T> m) {
  return dnnl::memory::desc({m.rows, m.columns}, data_type<std::remove_const_t<T>>, {m.row_stride, m.column_stride});
}

}  // namespace detail

namespace detail {

/// Null if oneDNN does not implement the product.
template <class T, class C>
[[nodiscard]] std::shared_ptr<const MatmulPlan> find_matmul(MatrixView<const T> a, MatrixView<const T> b,
                                                            MatrixView<C> c, bool accumulate) {
  const Cache<MatmulPlan>::Key key{static_cast<std::int64_t>(data_type<T>),
                                   static_cast<std::int64_t>(data_type<C>),
                                   accumulate,
                                   c.rows,
                                   a.columns,
                                   c.columns,
                                   a.row_stride,
                                   a.column_stride,
                                   b.row_stride,
                                   b.column_stride,
                                   c.row_stride};
  return cache<MatmulPlan>().find(key, [&] {
    MatmulPlan plan{{}, describe_matrix(a), describe_matrix(b), describe_matrix(c)};
    const auto desc = describe<dnnl::matmul>(attributes(accumulate), plan.a, plan.b, plan.c);
    plan.matmul = {dnnl::matmul(desc), desc};
    return plan;
  });
}

}  // namespace detail

/// c (+)= a b, with a and b of one type; false if oneDNN does not implement this case, with nothing written.
template <class T, class C>
[[nodiscard]] bool matmul(MatrixView<const T> a, MatrixView<const T> b, MatrixView<C> c, bool accumulate) {
  return translate_errors("matmul", [&] {
    if (!detail::find_matmul(a, b, c, accumulate)) return false;  // whether it does depends on the types
    lpw::detail::multiply_in_parts(a, b, c, accumulate, [](auto left, auto right, auto product, bool add) {
      const auto plan = detail::find_matmul(left, right, product, add);
      require(plan != nullptr, "matmul: oneDNN multiplies the whole but not a part of it; take the engine Eigen");
      plan->matmul.run({{DNNL_ARG_SRC, memory(plan->a, left.data)},
                        {DNNL_ARG_WEIGHTS, memory(plan->b, right.data)},
                        {DNNL_ARG_DST, memory(plan->c, product.data)}});
    });
    return true;
  });
}

/// A matrix b [K, N] in the layout that oneDNN likes best for products a b with a [rows, K], cut into parts of columns
/// for the threads.
template <class T>
class PackedMatrix {
 public:
  /// None if oneDNN does not implement the product.
  [[nodiscard]] static std::optional<PackedMatrix> of(MatrixView<const T> b, std::int64_t rows) {
    return translate_errors("matmul", [&]() -> std::optional<PackedMatrix> {
      PackedMatrix packed(rows, b);
      const std::int64_t wanted = std::max<std::int64_t>(1, packed.cost() / least_part_cost),
                         units = (b.columns + unit - 1) / unit;
      const std::int64_t parts = std::min(units, wanted);
      for (std::int64_t part = 0; part < parts; ++part) {
        const std::int64_t first = part_begin(units, parts, part) * unit,
                           last = part_begin(units, parts, part + 1) * unit;
        const auto columns = b.column_range(first, std::min(b.columns, last));
        auto plan = find_plan(columns, rows, b.columns);
        if (!plan) return std::nullopt;
        packed.parts_.push_back({first, plan, Buffer(plan->product.b)});
      }
      parallel_for(parts, b.rows * b.columns / parts, [&](std::int64_t i) {
        const Part& part = packed.parts_[to_size(i)];
        part.plan->pack.run({{DNNL_ARG_FROM, memory(part.plan->from, b.data + part.first * b.column_stride)},
                             {DNNL_ARG_TO, part.memory.get()}});
      });
      return packed;
    });
  }

  /// c [rows, N] = a [rows, K] b, both packed.
  void multiply(const T* a, T* c) const {
    translate_errors("matmul", [&] {
      parallel_for(std::ssize(parts_), cost() / std::ssize(parts_), [&](std::int64_t i) {
        const Part& part = parts_[to_size(i)];
        const MatmulPlan& product = part.plan->product;
        product.matmul.run({{DNNL_ARG_SRC, memory(product.a, a)},
                            {DNNL_ARG_WEIGHTS, part.memory.get()},
                            {DNNL_ARG_DST, memory(product.c, c + part.first)}});
      });
    });
  }

 private:
  static constexpr std::int64_t least_part_cost = 1 << 18, unit = 64;

  struct Plan {
    MatmulPlan product;
    Operation pack;
    dnnl::memory::desc from;
  };
  struct Part {
    std::int64_t first;
    std::shared_ptr<const Plan> plan;
    Buffer memory;
  };

  PackedMatrix(std::int64_t rows, MatrixView<const T> b) : rows_(rows), depth_(b.rows), columns_(b.columns) {}
  [[nodiscard]] std::int64_t cost() const { return products_cost(rows_ * depth_ * columns_); }

  /// Of some columns of a matrix with `all` columns.
  [[nodiscard]] static std::shared_ptr<const Plan> find_plan(MatrixView<const T> b, std::int64_t rows,
                                                             std::int64_t all) {
    const typename Cache<Plan>::Key key{
        static_cast<std::int64_t>(data_type<T>), rows, b.rows, b.columns, b.row_stride, b.column_stride, all};
    return cache<Plan>().find(key, [&] {
      const MatrixView<const T> c{nullptr, rows, b.columns, all, 1};
      Plan plan{{{}, detail::describe_matrix(matrix<const T>(nullptr, rows, b.rows)), {}, detail::describe_matrix(c)},
                {},
                detail::describe_matrix(b)};
      const dnnl::memory::desc any({b.rows, b.columns}, data_type<T>, dnnl::memory::format_tag::any);
      const auto desc = describe<dnnl::matmul>(attributes(), plan.product.a, any, plan.product.c);
      plan.product.matmul = {dnnl::matmul(desc), desc};
      plan.product.b = desc.weights_desc();
      plan.pack = reorder(plan.from, plan.product.b);
      return plan;
    });
  }

  std::int64_t rows_, depth_, columns_;
  std::vector<Part> parts_;
};

}  // namespace lpw::inline LPW_ABI::onednn
