// Matrix products by oneDNN on strided float32 and bfloat16 matrices as they lie, without packing on our side.
#pragma once

#include <optional>

#include <lpw/cpu/matrix.hpp>
#include <lpw/cpu/onednn.hpp>
#include <lpw/cpu/parallel.hpp>

namespace lpw::onednn {

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

/// c (+)= a b, with a and b of one type; false if oneDNN does not implement this case, with nothing written.
template <class T, class C>
[[nodiscard]] bool matmul(MatrixView<const T> a, MatrixView<const T> b, MatrixView<C> c, bool accumulate) {
  const auto make = [&] {
    MatmulPlan plan{{}, detail::describe_matrix(a), detail::describe_matrix(b), detail::describe_matrix(c)};
    const auto desc = describe<dnnl::matmul>(attributes(accumulate), plan.a, plan.b, plan.c);
    plan.matmul = {dnnl::matmul(desc), desc};
    return plan;
  };
  const Cache<MatmulPlan>::Key key{static_cast<std::int64_t>(data_type<T>),
                                   static_cast<std::int64_t>(data_type<C>),
                                   accumulate,
                                   max_threads(),
                                   c.rows,
                                   a.columns,
                                   c.columns,
                                   a.row_stride,
                                   a.column_stride,
                                   b.row_stride,
                                   b.column_stride,
                                   c.row_stride};
  return translate_errors("matmul", [&] {
    const auto plan = cache<MatmulPlan>().find(key, make);
    if (!plan) return false;
    plan->matmul.run(
        {{DNNL_ARG_SRC, memory(plan->a, a.data)}, {DNNL_ARG_WEIGHTS, memory(plan->b, b.data)}, {DNNL_ARG_DST, memory(plan->c, c.data)}});
    return true;
  });
}

/// A matrix b [K, N] in the layout that oneDNN likes best for products a b with a [rows, K].
template <class T>
class PackedMatrix {
 public:
  /// None if oneDNN does not implement the product.
  [[nodiscard]] static std::optional<PackedMatrix> of(MatrixView<const T> b, std::int64_t rows) {
    const typename Cache<Plan>::Key key{
        static_cast<std::int64_t>(data_type<T>), max_threads(), rows, b.rows, b.columns, b.row_stride, b.column_stride};
    return translate_errors("matmul", [&]() -> std::optional<PackedMatrix> {
      auto plan = cache<Plan>().find(key, [&] { return make_plan(b, rows); });
      if (!plan) return std::nullopt;
      return PackedMatrix(std::move(plan), b);
    });
  }

  /// c [rows, N] = a [rows, K] b, both packed.
  void multiply(const T* a, T* c) const {
    translate_errors("matmul", [&] {
      plan_->product.matmul.run(
          {{DNNL_ARG_SRC, memory(plan_->product.a, a)}, {DNNL_ARG_WEIGHTS, packed_->get()}, {DNNL_ARG_DST, memory(plan_->product.c, c)}});
    });
  }

 private:
  struct Plan {
    MatmulPlan product;
    Operation pack;
    dnnl::memory::desc from;
  };

  [[nodiscard]] static Plan make_plan(MatrixView<const T> b, std::int64_t rows) {
    Plan plan{{{}, detail::describe_matrix(matrix<const T>(nullptr, rows, b.rows)), {}, {}}, {}, detail::describe_matrix(b)};
    plan.product.c = detail::describe_matrix(matrix<const T>(nullptr, rows, b.columns));
    const dnnl::memory::desc any({b.rows, b.columns}, data_type<T>, dnnl::memory::format_tag::any);
    const auto desc = describe<dnnl::matmul>(attributes(), plan.product.a, any, plan.product.c);
    plan.product.matmul = {dnnl::matmul(desc), desc};
    plan.product.b = desc.weights_desc();
    plan.pack = reorder(plan.from, plan.product.b);
    return plan;
  }

  PackedMatrix(std::shared_ptr<const Plan> plan, MatrixView<const T> b)
      : plan_(std::move(plan)), packed_(std::make_shared<const Buffer>(plan_->product.b)) {
    plan_->pack.run({{DNNL_ARG_FROM, memory(plan_->from, b.data)}, {DNNL_ARG_TO, packed_->get()}});
  }

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const Buffer> packed_;
};

}  // namespace lpw::onednn
